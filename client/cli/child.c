/* One child process. */
#include "child.h"

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
/* How all our programs end that refuse an option or a variable. */
#define EXIT_REFUSED 2

/* ---- what it is */

static size_t count_of(char *const *words)
{
    size_t count = 0;

    while (words[count])
        count++;
    return count;
}

static void words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        free(words[i]);
    free(words);
}

/* The program's own name, then the arguments. */
static char **copy_words(const char *program, char *const *arguments)
{
    size_t count = count_of(arguments);
    char **words = calloc(count + 2, sizeof(*words));

    if (!words)
        return NULL;
    for (size_t i = 0; i <= count; i++) {
        words[i] = strdup(i == 0 ? program : arguments[i - 1]);
        if (!words[i]) {
            words_free(words);
            return NULL;
        }
    }
    return words;
}

enum status child_init(struct child *child, const struct child_params *params, struct error *error)
{
    *child = (struct child){.may_leave = params->may_leave};
    snprintf(child->program, sizeof(child->program), "%s", params->program);
    snprintf(child->name, sizeof(child->name), "%s", params->name);
    child->log_path = strdup(params->log_path);
    child->words = copy_words(params->program, params->arguments);
    if (child->log_path && child->words)
        return CAIRN_OK;
    return error_set(error, CAIRN_NO_MEMORY, "out of memory");
}

void child_fini(struct child *child)
{
    free(child->log_path);
    words_free(child->words);
    *child = (struct child){0};
}

enum status child_set_option(struct child *child, const char *option, const char *value, struct error *error)
{
    for (char **word = child->words; word[0] && word[1]; word++) {
        char *copy;

        if (strcmp(word[0], option) != 0)
            continue;
        copy = strdup(value);
        if (!copy)
            return error_set(error, CAIRN_NO_MEMORY, "out of memory");
        free(word[1]);
        word[1] = copy;
        return CAIRN_OK;
    }
    BUG("an option that the child was not started with");
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

enum status child_start(struct child *child, const sigset_t *mask, int kept_descriptor, struct error *error)
{
    char path[PROGRAMS_PATH_MAX];
    struct launch launch = {path, child->words, mask, kept_descriptor, -1, -1, 0};
    enum status status;

    programs_find(child->program, path);
    launch.log = open(child->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (launch.log < 0)
        return error_system(error, errno, "cannot open %s", child->log_path);
    child->log_start = lseek(launch.log, 0, SEEK_END);
    status = launch_program(&launch, &child->process, error);
    close(launch.log);
    if (status != CAIRN_OK)
        return status;
    child->is_running = true;
    child->started_ms = clock_ms();
    child->start_count++;
    return CAIRN_OK;
}

bool child_reap(struct child *child)
{
    if (!child->is_running || waitpid(child->process, &child->wait_status, WNOHANG) != child->process)
        return false;
    child->is_running = false;
    return true;
}

bool child_has_left(const struct child *child)
{
    return child->may_leave && !child->is_running && child->start_count > 0 &&
           WIFEXITED(child->wait_status) && WEXITSTATUS(child->wait_status) == 0;
}

bool child_was_refused(const struct child *child)
{
    return !child->is_running && child->start_count > 0 && WIFEXITED(child->wait_status) &&
           WEXITSTATUS(child->wait_status) == EXIT_REFUSED;
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

void child_describe_end(const struct child *child, char *text, size_t size)
{
    char tail[LOG_TAIL_BYTES + 1];
    const char *line, *event;
    int used;

    read_tail(child, tail);
    line = last_words(tail);
    event = line ? strstr(line, "event=") : NULL; /* leaves out time, level, program, process */
    if (WIFSIGNALED(child->wait_status))
        used = snprintf(text, size, "was killed by signal %d (%s)", WTERMSIG(child->wait_status),
                        strsignal(WTERMSIG(child->wait_status)));
    else
        used = snprintf(text, size, "ended by itself with exit code %d", WEXITSTATUS(child->wait_status));
    if (line && used > 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, "; its last words: %s", event ? event : line);
}
