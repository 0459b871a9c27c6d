/* Another user, without a way back. */
#define _DEFAULT_SOURCE /* initgroups is not in POSIX */
#include "server/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum api_status srv_privileges_drop(const char *user, struct api_error *error)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!user[0])
        return API_OK;
    errno = 0;
    const struct passwd *found = getpwnam(user);
    if (!found)
        return api_fail(error, API_USAGE, "no user called \"%.40s\"", user);
    const uid_t uid = found->pw_uid;
    const gid_t gid = found->pw_gid;
    bool done =
        initgroups(user, gid) == 0 && setgid(gid) == 0 && setuid(uid) == 0;
    if (!done)
        return api_fail(error, API_INTERNAL, "cannot become %.40s: %s", user,
                        strerror(errno));
    if (uid != 0 && setuid(0) == 0)
        return api_fail(error, API_INTERNAL, "could become root again");
    return API_OK;
}
