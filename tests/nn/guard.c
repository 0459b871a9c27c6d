/* Guard pages by mmap and mprotect. */
#include "tests/nn/guard.h"

#include <check.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PATTERN = 0xA5 };

void guard_open(struct guard *guard, size_t floats)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (floats * sizeof(float) + page - 1) / page * page + page;
    unsigned char *all = mmap(NULL, bytes + 2 * page, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    ck_assert_ptr_ne(all, MAP_FAILED);
    ck_assert_int_eq(mprotect(all + page, bytes, PROT_READ | PROT_WRITE), 0);
    guard->pages = all + page;
    guard->bytes = bytes;
    guard->from = guard->pages;
    guard->count = 0;
}

void guard_close(struct guard *guard)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    ck_assert_int_eq(munmap(guard->pages - page, guard->bytes + 2 * page), 0);
}

float *guard_place(struct guard *guard, size_t floats, enum guard_side side)
{
    guard->count = floats * sizeof(float);
    ck_assert_uint_le(guard->count, guard->bytes);
    guard->from = side == GUARD_BEFORE
                      ? guard->pages
                      : guard->pages + guard->bytes - guard->count;
    memset(guard->pages, PATTERN, guard->bytes);
    return (float *)(void *)guard->from;
}

void guard_check(const struct guard *guard)
{
    const unsigned char *end = guard->pages + guard->bytes;

    for (const unsigned char *at = guard->pages; at < end; at++)
        if ((at < guard->from || at >= guard->from + guard->count) &&
            *at != PATTERN)
            ck_abort_msg("a byte outside the buffer was written");
}
