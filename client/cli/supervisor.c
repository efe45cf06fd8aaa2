/* Child processes that are started again when they die. */
#include "supervisor.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* An end so soon after the start is a quick one; after so many in a row the child is given up. */
#define QUICK_MS  5000
#define QUICK_MAX 5
/* The second start in a row waits so long, and each further one twice as long. */
#define PAUSE_MS 100

void supervisor_init(struct supervisor *supervisor, const sigset_t *child_mask, int kept_descriptor,
                     const struct supervisor_viewer *viewer)
{
    *supervisor =
        (struct supervisor){.child_mask = *child_mask, .kept_descriptor = kept_descriptor, .viewer = *viewer};
}

static void forget_children(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++)
        child_fini(&supervisor->children[i]);
    supervisor->count = 0;
}

void supervisor_fini(struct supervisor *supervisor)
{
    (void)supervisor_stop(supervisor, 0);
    free(supervisor->children);
    supervisor->children = NULL;
    supervisor->capacity = 0;
}

/* ---- starting */

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

static enum status start_child(const struct supervisor *supervisor, struct child *child, struct error *error)
{
    return child_start(child, &supervisor->child_mask, supervisor->kept_descriptor, error);
}

enum status supervisor_start(struct supervisor *supervisor, const struct child_params *params,
                             struct error *error)
{
    enum status status = make_room(supervisor, error);
    struct child child;

    if (status != CAIRN_OK)
        return status;
    status = child_init(&child, params, error);
    if (status == CAIRN_OK)
        status = start_child(supervisor, &child, error);
    if (status == CAIRN_OK)
        supervisor->children[supervisor->count++] = child;
    else
        child_fini(&child);
    return status;
}

struct child *supervisor_child(const struct supervisor *supervisor, const char *name)
{
    for (size_t i = 0; i < supervisor->count; i++) {
        if (strcmp(supervisor->children[i].name, name) == 0)
            return &supervisor->children[i];
    }
    return NULL;
}

/* ---- starting again */

static void say(const struct supervisor *supervisor, const struct child *child, const char *what,
                const char *outcome)
{
    char line[512];

    snprintf(line, sizeof(line), "%s %.440s: %s", child->name, what, outcome);
    supervisor->viewer.note(supervisor->viewer.context, line);
}

static enum status give_up(const struct child *child, struct error *error)
{
    char end[384];

    child_describe_end(child, end, sizeof(end));
    return error_set(error, CAIRN_CLOSED, "%s %s %s (started %u time%s; its log: %s)", child->program,
                     child->name, end, child->start_count, child->start_count > 1 ? "s" : "",
                     child->log_path);
}

/* The first death is made good at once. A child that dies again and again as soon as it is started would not
 * do better for being started faster, and one that refuses its options or environment for being started at
 * all. */
static enum status take_end(const struct supervisor *supervisor, struct child *child, struct error *error)
{
    int64_t now_ms = clock_ms();

    if (child_has_left(child)) {
        say(supervisor, child, "ended as it was told to", "not started again");
        return CAIRN_OK;
    }
    child->quick_ends = now_ms - child->started_ms < QUICK_MS ? child->quick_ends + 1 : 0;
    if (child->quick_ends >= QUICK_MAX || child_was_refused(child))
        return give_up(child, error);
    child->due_ms = now_ms + (child->quick_ends < 2 ? 0 : PAUSE_MS << (child->quick_ends - 2));
    return CAIRN_OK;
}

static bool is_awaited(const struct child *child)
{
    return !child->is_running && !child_has_left(child);
}

static enum status start_again(struct supervisor *supervisor, struct child *child, struct error *error)
{
    char end[384];
    enum status status;

    child_describe_end(child, end, sizeof(end));
    status = start_child(supervisor, child, error);
    if (status != CAIRN_OK)
        return error_prefix(error, status, "%s %s", child->name, end);
    say(supervisor, child, end, "started again");
    return CAIRN_OK;
}

enum status supervisor_tend(struct supervisor *supervisor, struct error *error)
{
    enum status status = CAIRN_OK;

    for (size_t i = 0; i < supervisor->count && status == CAIRN_OK; i++) {
        struct child *child = &supervisor->children[i];

        if (child_reap(child))
            status = take_end(supervisor, child, error);
        if (status == CAIRN_OK && is_awaited(child) && child->due_ms <= clock_ms())
            status = start_again(supervisor, child, error);
    }
    return status;
}

int64_t supervisor_deadline_ms(const struct supervisor *supervisor)
{
    int64_t deadline_ms = -1;

    for (size_t i = 0; i < supervisor->count; i++) {
        const struct child *child = &supervisor->children[i];

        if (is_awaited(child) && (deadline_ms < 0 || child->due_ms < deadline_ms))
            deadline_ms = child->due_ms;
    }
    return deadline_ms;
}

/* ---- ending */

static void reap(struct supervisor *supervisor)
{
    for (size_t i = 0; i < supervisor->count; i++)
        (void)child_reap(&supervisor->children[i]);
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
    sigaddset(&news, SIGHUP);
    reap(supervisor);
    while (is_any_running(supervisor, first) && (left_ms = deadline_ms - clock_ms()) > 0) {
        struct timespec left = {left_ms / 1000, left_ms % 1000 * 1000000};
        int number = sigtimedwait(&news, NULL, &left);

        if (number > 0 && number != SIGCHLD)
            return false;
        reap(supervisor);
    }
    return true;
}

/* The first child ends last: the others tell the coordinator that they leave. False: the user would not wait.
 */
static bool end_in_order(struct supervisor *supervisor, int patience_ms)
{
    int64_t deadline_ms = clock_ms() + patience_ms;

    send_signal(supervisor, 1, SIGTERM);
    if (!wait_for_ends(supervisor, 1, deadline_ms))
        return false;
    send_signal(supervisor, 0, SIGTERM);
    return wait_for_ends(supervisor, 0, deadline_ms);
}

bool supervisor_stop(struct supervisor *supervisor, int patience_ms)
{
    bool is_interrupted = patience_ms > 0 && !end_in_order(supervisor, patience_ms);

    send_signal(supervisor, 0, SIGKILL);
    for (size_t i = 0; i < supervisor->count; i++) {
        struct child *child = &supervisor->children[i];

        if (child->is_running)
            waitpid(child->process, &child->wait_status, 0);
    }
    forget_children(supervisor);
    return is_interrupted;
}
