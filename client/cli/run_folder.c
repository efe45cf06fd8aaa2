/* The folder of a `cairn train` run. */
#include "run_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define LOCK_NAME "cairn.lock"
/* How long the children of a killed run may take to die. */
#define ORPHANS_SECONDS 10
/* A socket's path is at most 107 bytes; this much of it is for "/server-4095.4095". */
#define SOCKETS_PATH_MAX 88

void run_folder_path(const struct run_folder *folder, const char *name, char path[RUN_FOLDER_PATH_MAX])
{
    snprintf(path, RUN_FOLDER_PATH_MAX, "%s/%s", folder->path, name);
}

/* ---- making folders */

static enum status make_folder(const char *path, struct error *error)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return CAIRN_OK;
    return error_system(error, errno, "cannot make the folder %s", path);
}

static enum status make_with_parents(const char *path, struct error *error)
{
    char part[RUN_FOLDER_PATH_MAX / 2];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        enum status status;

        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        status = make_folder(part, error);
        if (status != CAIRN_OK)
            return status;
    }
    return make_folder(path, error);
}

enum status run_folder_make(const struct run_folder *folder, const char *name, struct error *error)
{
    char path[RUN_FOLDER_PATH_MAX];

    run_folder_path(folder, name, path);
    return make_folder(path, error);
}

/* ---- looking into folders */

/* Calls visit(context, name) for each entry but . and .. until it returns false. */
static enum status for_each_entry(const char *path, bool (*visit)(void *context, const char *name),
                                  void *context, struct error *error)
{
    DIR *stream = opendir(path);
    const struct dirent *entry;

    if (!stream)
        return error_system(error, errno, "cannot read the folder %s", path);
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !visit(context, entry->d_name))
            break;
    }
    closedir(stream);
    return CAIRN_OK;
}

static bool count_entry(void *context, const char *name)
{
    (void)name;
    ++*(uint32_t *)context;
    return true;
}

static bool is_server_name(const char *name)
{
    return strncmp(name, "server-", 7) == 0 && name[7] != '\0' &&
           name[7 + strspn(name + 7, "0123456789")] == '\0';
}

static bool count_server(void *context, const char *name)
{
    if (is_server_name(name))
        ++*(uint32_t *)context;
    return true;
}

bool run_folder_has_run(const struct run_folder *folder)
{
    char path[RUN_FOLDER_PATH_MAX];
    uint32_t count = 0;

    run_folder_path(folder, "coordinator", path);
    return for_each_entry(path, count_entry, &count, NULL) == CAIRN_OK && count > 0;
}

uint32_t run_folder_server_count(const struct run_folder *folder)
{
    uint32_t count = 0;

    return for_each_entry(folder->path, count_server, &count, NULL) == CAIRN_OK ? count : 0;
}

/* ---- removing */

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static enum status remove_tree(const char *path, struct error *error)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 || errno == ENOENT)
        return CAIRN_OK;
    return error_system(error, errno, "cannot remove %s", path);
}

struct wipe {
    const struct run_folder *folder;
    bool with_logs;
    enum status status;
    struct error *error;
};

static bool wipe_entry(void *context, const char *name)
{
    struct wipe *wipe = context;
    char path[RUN_FOLDER_PATH_MAX];

    if (is_server_name(name) || strcmp(name, "coordinator") == 0 ||
        (wipe->with_logs && strcmp(name, "logs") == 0)) {
        run_folder_path(wipe->folder, name, path);
        wipe->status = remove_tree(path, wipe->error);
    }
    return wipe->status == CAIRN_OK;
}

enum status run_folder_wipe(const struct run_folder *folder, bool with_logs, struct error *error)
{
    struct wipe wipe = {folder, with_logs, CAIRN_OK, error};
    enum status status;

    /* First what makes it a run: if this is killed half-way, the folder holds none. */
    if (!wipe_entry(&wipe, "coordinator"))
        return wipe.status;
    status = for_each_entry(folder->path, wipe_entry, &wipe, error);

    return status == CAIRN_OK ? wipe.status : status;
}

enum status run_folder_begin(const struct run_folder *folder, uint32_t servers, bool with_logs,
                             struct error *error)
{
    char name[32];
    enum status status = run_folder_wipe(folder, with_logs, error);

    for (uint32_t i = 0; i < servers && status == CAIRN_OK; i++) {
        snprintf(name, sizeof(name), "server-%" PRIu32, i);
        status = run_folder_make(folder, name, error);
    }
    return status;
}

static bool remove_socket(void *context, const char *name)
{
    char path[RUN_FOLDER_PATH_MAX];
    struct stat about;

    snprintf(path, sizeof(path), "%s/%s", (const char *)context, name);
    if (lstat(path, &about) == 0 && S_ISSOCK(about.st_mode))
        unlink(path);
    return true;
}

/* Removes sockets and then the folder, if that leaves it empty; what is not ours stays. */
static void remove_sockets(char *path)
{
    struct stat about;

    if (lstat(path, &about) != 0 || !S_ISDIR(about.st_mode) || about.st_uid != geteuid())
        return;
    if (for_each_entry(path, remove_socket, path, NULL) == CAIRN_OK)
        rmdir(path);
}

/* ---- the lock: its file holds the run's process number and its folder of sockets */

/* An unmarked folder is taken only when it is empty, so that --fresh cannot remove somebody's files. */
static enum status check_mark(const struct run_folder *folder, struct error *error)
{
    char path[RUN_FOLDER_PATH_MAX];
    uint32_t count = 0;
    enum status status;

    run_folder_path(folder, LOCK_NAME, path);
    if (access(path, F_OK) == 0)
        return CAIRN_OK;
    status = for_each_entry(folder->path, count_entry, &count, error);
    if (status == CAIRN_OK && count > 0)
        return error_set(error, CAIRN_INVALID,
                         "%s holds other files than a run's: give --state a folder of its own", folder->path);
    return status;
}

/* Who had the lock, as its file says. */
struct holder {
    long process; /* 0: nobody */
    char sockets[96];
};

static struct holder read_holder(int lock)
{
    struct holder holder = {0};
    char text[256];
    ssize_t length = pread(lock, text, sizeof(text) - 1, 0);

    text[length > 0 ? length : 0] = '\0';
    if (sscanf(text, "%ld %95[^\n]", &holder.process, holder.sockets) < 1 || holder.process < 0)
        holder.process = 0;
    return holder;
}

static void ignore_signal(int number)
{
    (void)number;
}

/* Waits for the lock as long as a killed run's children may need: an alarm ends the wait. */
static int lock_after_orphans(int lock)
{
    struct sigaction alarm_action = {.sa_handler = ignore_signal}, old_action; /* without SA_RESTART */
    int code, system_code;

    sigaction(SIGALRM, &alarm_action, &old_action);
    alarm(ORPHANS_SECONDS);
    code = flock(lock, LOCK_EX);
    system_code = errno;
    alarm(0);
    sigaction(SIGALRM, &old_action, NULL);
    errno = system_code;
    return code;
}

static enum status take_lock(struct run_folder *folder, struct error *error)
{
    char path[RUN_FOLDER_PATH_MAX];
    struct holder holder;
    int code;

    run_folder_path(folder, LOCK_NAME, path);
    folder->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (folder->lock < 0)
        return error_system(error, errno, "cannot open %s", path);
    code = flock(folder->lock, LOCK_EX | LOCK_NB);
    holder = read_holder(folder->lock);
    if (code != 0 && errno == EWOULDBLOCK) {
        if (holder.process > 0 && (kill((pid_t)holder.process, 0) == 0 || errno == EPERM))
            return error_set(error, CAIRN_EXISTS,
                             "another run (process %ld) uses %s: wait for it, or give --state "
                             "another folder",
                             holder.process, folder->path);
        code = lock_after_orphans(folder->lock);
    }
    if (code != 0)
        return error_system(error, errno, "cannot lock %s", path);
    if (strstr(holder.sockets, "/cairn-"))
        remove_sockets(holder.sockets); /* a killed run left them */
    return CAIRN_OK;
}

static enum status write_holder(const struct run_folder *folder, struct error *error)
{
    char text[256];
    int length = snprintf(text, sizeof(text), "%ld %s\n", (long)getpid(), folder->sockets);

    if (ftruncate(folder->lock, 0) != 0 || pwrite(folder->lock, text, (size_t)length, 0) != length)
        return error_system(error, errno, "cannot write %s/%s", folder->path, LOCK_NAME);
    return CAIRN_OK;
}

static enum status make_sockets_folder(struct run_folder *folder, struct error *error)
{
    const char *parent = getenv("TMPDIR");

    if (!parent || parent[0] != '/' || strlen(parent) + strlen("/cairn-XXXXXX") > SOCKETS_PATH_MAX)
        parent = "/tmp";
    snprintf(folder->sockets, sizeof(folder->sockets), "%s/cairn-XXXXXX", parent);
    if (mkdtemp(folder->sockets))
        return CAIRN_OK;
    folder->sockets[0] = '\0';
    return error_system(error, errno, "cannot make a folder in %s", parent);
}

enum status run_folder_open(struct run_folder *folder, const char *path, struct error *error)
{
    enum status status;

    *folder = (struct run_folder){.lock = -1};
    if (path[0] == '\0' || strlen(path) >= sizeof(folder->path))
        return error_set(error, CAIRN_INVALID, "the state folder's path must have 1 to %zu bytes",
                         sizeof(folder->path) - 1);
    snprintf(folder->path, sizeof(folder->path), "%s", path);
    status = make_with_parents(path, error);
    if (status == CAIRN_OK)
        status = check_mark(folder, error);
    if (status == CAIRN_OK)
        status = take_lock(folder, error);
    if (status == CAIRN_OK)
        status = make_sockets_folder(folder, error);
    if (status == CAIRN_OK)
        status = write_holder(folder, error);
    return status;
}

void run_folder_close(struct run_folder *folder)
{
    if (folder->sockets[0] != '\0')
        remove_sockets(folder->sockets);
    folder->sockets[0] = '\0';
    if (folder->lock >= 0)
        close(folder->lock);
    folder->lock = -1;
}
