/* Reads /proc/self, for the process_* metrics. */
#include "server/process.h"

#include <dirent.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t count_open_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return 0;
    uint64_t count = 0;
    for (struct dirent *entry = readdir(folder); entry;
         entry = readdir(folder)) {
        if (entry->d_name[0] != '.')
            count++;
    }
    closedir(folder);
    return count > 0 ? count - 1 : 0; /* less the folder itself */
}

void srv_process_read(struct srv_process *process)
{
    struct timespec cpu = {0, 0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    unsigned long long pages = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm) {
        if (fscanf(statm, "%llu %llu", &pages, &resident) != 2)
            pages = resident = 0;
        fclose(statm);
    }
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    struct rlimit files = {0, 0};
    getrlimit(RLIMIT_NOFILE, &files);
    *process = (struct srv_process){
        .cpu_seconds = (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9,
        .resident_bytes = resident * page_bytes,
        .virtual_bytes = pages * page_bytes,
        .open_fds = count_open_fds(),
        .max_fds = files.rlim_cur,
    };
}

void srv_process_raise_fd_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 &&
        files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

void srv_process_return_memory(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
