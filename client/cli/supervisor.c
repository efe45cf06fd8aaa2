/* Child processes that must not outlive this one. */
#include "supervisor.h"

#include "base/clock.h"
#include "programs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* How much of a log's end is searched for its last error. */
#define LOG_TAIL_BYTES 8192

void supervisor_init(struct supervisor *supervisor, const sigset_t *child_mask, int kept_descriptor)
{
    *supervisor = (struct supervisor){.child_mask = *child_mask, .kept_descriptor = kept_descriptor};
}

static void forget_children(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++)
        free(supervisor->children[i].log_path);
    supervisor->count = 0;
}

void supervisor_fini(struct supervisor *supervisor)
{
    supervisor_stop(supervisor, 0);
    free(supervisor->children);
    supervisor->children = NULL;
    supervisor->capacity = 0;
}

/* ---- starting */

/* What the child needs between fork and exec, made before: there only plain system calls are allowed. */
struct launch {
    const char *path;
    char *const *words;
    const sigset_t *mask;
    int kept_descriptor, log, failures; /* failures: a pipe's end, for errno when exec fails */
    pid_t parent;
};

static _Noreturn void become_program(const struct launch *launch)
{
    int nothing, code;

    /* The parent may have died between fork and prctl: then nobody would kill us. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != launch->parent)
        _exit(127);
    setpgid(0, 0);
    nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0 || dup2(launch->log, STDOUT_FILENO) < 0 ||
        dup2(launch->log, STDERR_FILENO) < 0)
        goto fail;
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (launch->kept_descriptor >= 0)
        fcntl(launch->kept_descriptor, F_SETFD, 0);
    sigprocmask(SIG_SETMASK, launch->mask, NULL);
    execvp(launch->path, launch->words);
fail:
    code = errno;
    if (write(launch->failures, &code, sizeof(code)) < 0)
        _exit(126);
    _exit(127);
}

/* Forks; returns when the program runs or could not be started. */
static enum status launch_program(struct launch *launch, pid_t *process, struct error *error)
{
    int ends[2], code = 0;
    ssize_t got;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return error_system(error, errno, "cannot make a pipe");
    launch->failures = ends[1];
    launch->parent = getpid();
    *process = fork();
    if (*process == 0)
        become_program(launch);
    close(ends[1]);
    if (*process < 0) {
        close(ends[0]);
        return error_system(error, errno, "cannot start a process");
    }
    do
        got = read(ends[0], &code, sizeof(code));
    while (got < 0 && errno == EINTR);
    close(ends[0]);
    if (got == 0) /* exec closed the other end */
        return CAIRN_OK;
    waitpid(*process, NULL, 0);
    return error_system(error, code, "cannot start %s", launch->path);
}

static enum status make_room(struct supervisor *supervisor, struct error *error)
{
    size_t capacity = supervisor->capacity ? 2 * supervisor->capacity : 8;
    struct child *children;

    if (supervisor->count < supervisor->capacity)
        return CAIRN_OK;
    children = realloc(supervisor->children, capacity * sizeof(*children));
    if (!children)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    supervisor->children = children;
    supervisor->capacity = capacity;
    return CAIRN_OK;
}

/* The program's own name, then the arguments. */
static char **words_of(const char *program, char *const *arguments)
{
    size_t count = 0;
    char **words;

    while (arguments[count])
        count++;
    words = calloc(count + 2, sizeof(*words));
    if (!words)
        return NULL;
    words[0] = (char *)program;
    memcpy(words + 1, arguments, count * sizeof(*words));
    return words;
}

static enum status start_with_log(struct supervisor *supervisor, struct child *child, char *const *arguments,
                                  struct error *error)
{
    char path[PROGRAMS_PATH_MAX];
    char **words = words_of(child->program, arguments);
    struct launch launch = {path, words, &supervisor->child_mask, supervisor->kept_descriptor, -1, -1, 0};
    enum status status;

    if (!words)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    programs_find(child->program, path);
    launch.log = open(child->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (launch.log < 0) {
        status = error_system(error, errno, "cannot open %s", child->log_path);
    } else {
        child->log_start = lseek(launch.log, 0, SEEK_END);
        status = launch_program(&launch, &child->process, error);
        close(launch.log);
    }
    free(words);
    return status;
}

enum status supervisor_start(struct supervisor *supervisor, const char *program, const char *name,
                             const char *log_path, char *const *arguments, struct error *error)
{
    enum status status = make_room(supervisor, error);
    struct child child = {.is_running = true};

    if (status != CAIRN_OK)
        return status;
    snprintf(child.program, sizeof(child.program), "%s", program);
    snprintf(child.name, sizeof(child.name), "%s", name);
    child.log_path = strdup(log_path);
    if (!child.log_path)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    status = start_with_log(supervisor, &child, arguments, error);
    if (status == CAIRN_OK)
        supervisor->children[supervisor->count++] = child;
    else
        free(child.log_path);
    return status;
}

/* ---- ending */

const struct child *supervisor_reap(struct supervisor *supervisor)
{
    const struct child *ended = NULL;

    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];

        if (child->is_running && waitpid(child->process, &child->wait_status, WNOHANG) == child->process)
            child->is_running = false;
        if (!child->is_running && !ended)
            ended = child;
    }
    return ended;
}

/* Of the children from `first` on. */
static bool is_any_running(const struct supervisor *supervisor, size_t first)
{
    for (size_t i = first; i < supervisor->count; i++) {
        if (supervisor->children[i].is_running)
            return true;
    }
    return false;
}

static void send_signal(const struct supervisor *supervisor, size_t first, int number)
{
    for (size_t i = first; i < supervisor->count; i++) {
        if (supervisor->children[i].is_running)
            kill(supervisor->children[i].process, number);
    }
}

/* False: the user would not wait. */
static bool wait_for_ends(struct supervisor *supervisor, size_t first, int64_t deadline_ms)
{
    int64_t left_ms;
    sigset_t news;

    sigemptyset(&news);
    sigaddset(&news, SIGCHLD);
    sigaddset(&news, SIGINT);
    sigaddset(&news, SIGTERM);
    supervisor_reap(supervisor);
    while (is_any_running(supervisor, first) && (left_ms = deadline_ms - clock_ms()) > 0) {
        struct timespec left = {left_ms / 1000, left_ms % 1000 * 1000000};
        int number = sigtimedwait(&news, NULL, &left);

        if (number == SIGINT || number == SIGTERM)
            return false;
        supervisor_reap(supervisor);
    }
    return true;
}

/* The first child ends last: the others tell the coordinator that they leave. */
static void end_in_order(struct supervisor *supervisor, int patience_ms)
{
    int64_t deadline_ms = clock_ms() + patience_ms;

    send_signal(supervisor, 1, SIGTERM);
    if (!wait_for_ends(supervisor, 1, deadline_ms))
        return;
    send_signal(supervisor, 0, SIGTERM);
    wait_for_ends(supervisor, 0, deadline_ms);
}

void supervisor_stop(struct supervisor *supervisor, int patience_ms)
{
    if (patience_ms > 0)
        end_in_order(supervisor, patience_ms);
    send_signal(supervisor, 0, SIGKILL);
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];

        if (child->is_running)
            waitpid(child->process, &child->wait_status, 0);
    }
    forget_children(supervisor);
}

/* ---- saying how a child ended */

/* The line that says why: the last error in the log; else the last line that is no log line at all, which is
 * how a program complains about its arguments or dies. NULL: there is none. Cuts text into lines. */
static const char *last_words(char *text)
{
    const char *error_line = NULL, *other_line = NULL;
    char *rest = NULL;

    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strstr(line, "level=error"))
            error_line = line;
        else if (!strstr(line, "level="))
            other_line = line;
    }
    return error_line ? error_line : other_line;
}

/* Reads what the child wrote last, as text; "" when that is nothing. */
static void read_tail(const struct child *child, char text[LOG_TAIL_BYTES + 1])
{
    int log = open(child->log_path, O_RDONLY | O_CLOEXEC);
    off_t end = log < 0 ? 0 : lseek(log, 0, SEEK_END);
    off_t from = end - child->log_start > LOG_TAIL_BYTES ? end - LOG_TAIL_BYTES : child->log_start;
    ssize_t length = log < 0 ? 0 : pread(log, text, LOG_TAIL_BYTES, from);

    text[length > 0 ? length : 0] = '\0';
    if (log >= 0)
        close(log);
}

static void describe_end(const struct child *child, char *text, size_t size)
{
    if (WIFSIGNALED(child->wait_status))
        snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(child->wait_status),
                 strsignal(WTERMSIG(child->wait_status)));
    else
        snprintf(text, size, "ended by itself with exit code %d", WEXITSTATUS(child->wait_status));
}

enum status supervisor_describe(const struct child *child, struct error *error)
{
    char tail[LOG_TAIL_BYTES + 1], end[96];
    const char *line, *event;

    read_tail(child, tail);
    line = last_words(tail);
    event = line ? strstr(line, "event=") : NULL; /* leaves out time, level, program, process */
    describe_end(child, end, sizeof(end));
    return error_set(error, CAIRN_CLOSED, "%s %s %s%s%s (its log: %s)", child->program, child->name, end,
                     line ? "; its last words: " : "",
                     event  ? event
                     : line ? line
                            : "",
                     child->log_path);
}
