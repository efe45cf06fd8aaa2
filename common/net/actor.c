/* Threads with a pipe. Knows nothing of what the messages mean.
 *
 * The starter makes both ends of the pipe, so that no failure of a socket needs a thread to report it; the
 * second end then belongs to the thread (pthread_create orders the hand-over). The first message up the pipe
 * is the ready report. Queues have no high-water mark: what is told to an actor is bounded by those who talk,
 * and neither side may wait for the other while it talks. */
#include "net/actor.h"

#include "base/order.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define NAME_BYTES 16 /* what the system takes, with the end */

struct actor_self {
    void *pipe; /* the thread's end */
    void *context;
    actor_run *run;
    void *argument;
    bool is_ready;
    char name[NAME_BYTES];
};

struct actor {
    pthread_t thread;
    void *pipe; /* the owner's end */
    struct actor_self self;
};

struct ready_report {
    enum status status;
    struct error error;
};

/* ---- the pipe, either end */

static enum status pipe_send(void *pipe, const void *message, size_t size, struct error *error)
{
    int code;

    do
        code = zmq_send(pipe, message, size, ZMQ_DONTWAIT);
    while (code < 0 && zmq_errno() == EINTR);
    if (code >= 0)
        return CAIRN_OK;
    if (zmq_errno() == EAGAIN || zmq_errno() == ETERM)
        return error_set(error, CAIRN_CLOSED, "pipe: the other end is closed");
    return error_set(error, CAIRN_IO, "pipe: %s", zmq_strerror(zmq_errno()));
}

/* Receives a message of exactly size bytes, or an empty one (*length == 0). */
static enum status pipe_receive(void *pipe, void *message, size_t size, int flags, size_t *length)
{
    int code;

    do
        code = zmq_recv(pipe, message, size, flags);
    while (code < 0 && zmq_errno() == EINTR);
    if (code < 0)
        return zmq_errno() == EAGAIN ? CAIRN_AGAIN : CAIRN_CLOSED;
    *length = (size_t)code;
    BUG_IF(*length != 0 && *length != size); /* messages are typed, both ends are ours */
    return CAIRN_OK;
}

/* Both ends: *bound for the owner, *connected for the thread. */
static enum status pipe_open(void *context, const void *unique, void **bound, void **connected,
                             struct error *error)
{
    int none = 0;
    char endpoint[64];

    *bound = zmq_socket(context, ZMQ_PAIR);
    *connected = zmq_socket(context, ZMQ_PAIR);
    if (!*bound || !*connected)
        return error_system(error, zmq_errno(), "cannot make an actor's pipe");
    zmq_setsockopt(*bound, ZMQ_SNDHWM, &none, sizeof(none));
    zmq_setsockopt(*bound, ZMQ_RCVHWM, &none, sizeof(none));
    zmq_setsockopt(*bound, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(*connected, ZMQ_SNDHWM, &none, sizeof(none));
    zmq_setsockopt(*connected, ZMQ_RCVHWM, &none, sizeof(none));
    zmq_setsockopt(*connected, ZMQ_LINGER, &none, sizeof(none));
    snprintf(endpoint, sizeof(endpoint), "inproc://actor-%p", unique);
    if (zmq_bind(*bound, endpoint) != 0 || zmq_connect(*connected, endpoint) != 0)
        return error_system(error, zmq_errno(), "cannot connect an actor's pipe");
    /* The name has done its work. A closed socket keeps its name for a moment longer, and the next actor may
     * lie at the same address. */
    if (zmq_unbind(*bound, endpoint) != 0)
        return error_system(error, zmq_errno(), "cannot free the name of an actor's pipe");
    return CAIRN_OK;
}

/* ---- the thread */

static void *thread_main(void *argument)
{
    struct actor_self *self = argument;

    pthread_setname_np(pthread_self(), self->name);
    self->run(self, self->argument);
    if (!self->is_ready)
        BUG("an actor returned without actor_ready");
    zmq_close(self->pipe);
    return NULL;
}

/* Signals are the main thread's: a new thread begins with all of them blocked. */
static int thread_start(struct actor *actor)
{
    sigset_t all, old;
    int code;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    code = pthread_create(&actor->thread, NULL, thread_main, &actor->self);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return code;
}

void actor_ready(struct actor_self *self, enum status status, const struct error *error)
{
    struct ready_report report;
    struct error problem;

    BUG_IF(self->is_ready);
    memset(&report, 0, sizeof(report));
    report.status = status;
    if (error)
        report.error = *error;
    else
        error_set(&report.error, status, "%s", status_text(status));
    self->is_ready = true;
    ORDER_BEFORE(self);
    /* It can fail only when the context is terminated, which the owner sees as well. */
    if (pipe_send(self->pipe, &report, sizeof(report), &problem) != CAIRN_OK)
        return;
}

void *actor_self_pipe(struct actor_self *self)
{
    return self->pipe;
}

void *actor_self_context(struct actor_self *self)
{
    return self->context;
}

enum status actor_take(struct actor_self *self, void *message, size_t size, struct error *error)
{
    size_t length = 0;
    enum status status = pipe_receive(self->pipe, message, size, ZMQ_DONTWAIT, &length);

    ORDER_AFTER(self);
    if (status == CAIRN_AGAIN)
        return status;
    if (status != CAIRN_OK || length == 0)
        return error_set(error, CAIRN_CLOSED, "told to stop");
    return CAIRN_OK;
}

enum status actor_report(struct actor_self *self, const void *message, size_t size, struct error *error)
{
    BUG_IF(size == 0);
    ORDER_BEFORE(self);
    return pipe_send(self->pipe, message, size, error);
}

/* ---- the owner */

/* Waits for the ready report of a started thread. */
static enum status ready_wait(struct actor *actor, struct error *error)
{
    struct ready_report report;
    size_t length = 0;

    if (pipe_receive(actor->pipe, &report, sizeof(report), 0, &length) != CAIRN_OK || length == 0)
        return error_set(error, CAIRN_CLOSED, "actor %s: the messaging context is closed", actor->self.name);
    ORDER_AFTER(&actor->self);
    if (report.status != CAIRN_OK && error)
        *error = report.error;
    return report.status;
}

enum status actor_start(void *zmq_context, const char *name, actor_run *run, void *argument,
                        struct actor **out, struct error *error)
{
    struct actor *actor = calloc(1, sizeof(*actor));
    enum status status;
    int code;

    if (!actor)
        return error_set(error, CAIRN_NO_MEMORY, "actor %s: out of memory", name);
    actor->self.context = zmq_context;
    actor->self.run = run;
    actor->self.argument = argument;
    snprintf(actor->self.name, NAME_BYTES, "%s", name);
    status = pipe_open(zmq_context, actor, &actor->pipe, &actor->self.pipe, error);
    if (status != CAIRN_OK)
        goto out;
    code = thread_start(actor);
    if (code != 0) {
        status = error_system(error, code, "cannot start thread %s", name);
        goto out;
    }
    status = ready_wait(actor, error);
    if (status != CAIRN_OK) {
        pthread_join(actor->thread, NULL);
        actor->self.pipe = NULL; /* the thread closed it */
        goto out;
    }
    *out = actor;
    return CAIRN_OK;
out:
    if (actor->pipe)
        zmq_close(actor->pipe);
    if (actor->self.pipe)
        zmq_close(actor->self.pipe);
    free(actor);
    return status;
}

void actor_close(struct actor *actor)
{
    ORDER_BEFORE(&actor->self);
    /* It fails when the thread has returned already or the context is terminated: both end it. */
    if (pipe_send(actor->pipe, "", 0, NULL) != CAIRN_OK)
        errno = 0;
}

void actor_stop(struct actor *actor)
{
    if (!actor)
        return;
    actor_close(actor);
    pthread_join(actor->thread, NULL);
    zmq_close(actor->pipe);
    free(actor);
}

void *actor_pipe(struct actor *actor)
{
    return actor->pipe;
}

enum status actor_tell(struct actor *actor, const void *message, size_t size, struct error *error)
{
    BUG_IF(size == 0);
    ORDER_BEFORE(&actor->self);
    return pipe_send(actor->pipe, message, size, error);
}

enum status actor_hear(struct actor *actor, void *message, size_t size, struct error *error)
{
    size_t length = 0;
    enum status status = pipe_receive(actor->pipe, message, size, ZMQ_DONTWAIT, &length);

    ORDER_AFTER(&actor->self);
    if (status == CAIRN_CLOSED)
        return error_set(error, status, "actor %s: the messaging context is closed", actor->self.name);
    return status;
}
