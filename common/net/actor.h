/* A thread with a pipe: how every thread of a daemon that owns sockets is started, told things and stopped.
 *
 * actor_start returns after the thread has reported that it is ready, or why it is not. The pipe is a pair of
 * inproc PAIR sockets: one end belongs to the thread that started the actor, the other to the actor. Messages
 * on it are the actor's typed structs, sent by value, or an empty message, which means stop.
 *
 *     static void echo(struct actor_self *self, void *argument)
 *     {
 *         actor_ready(self, CAIRN_OK, NULL);
 *         ... poll actor_self_pipe(self); actor_take() gives CAIRN_CLOSED when told to stop ...
 *     } */
#ifndef CAIRN_NET_ACTOR_H
#define CAIRN_NET_ACTOR_H

#include "base/status.h"

#include <stddef.h>

struct actor;
struct actor_self;

/* The thread's function. It must call actor_ready once and return soon after actor_take gave CAIRN_CLOSED. */
typedef void actor_run(struct actor_self *self, void *argument);

/* Starts the thread and waits for its ready report.
 * name: at most 15 characters, shown by debuggers. argument: borrowed until actor_stop returns.
 * Errors: the status and message that the thread reported; nothing is left running then. */
enum status actor_start(void *zmq_context, const char *name, actor_run *run, void *argument,
                        struct actor **out, struct error *error) MUST_CHECK;

/* Tells the thread to stop and does not wait; what it reports on its way out can be heard. May be called twice;
 * actor_stop comes after it. */
void actor_close(struct actor *actor);

/* Tells the thread to stop, waits until it has returned, frees. NULL is allowed. */
void actor_stop(struct actor *actor);

/* The owner's end, to poll. */
void *actor_pipe(struct actor *actor);

/* Sends size bytes by value to the actor (owner's thread). */
enum status actor_tell(struct actor *actor, const void *message, size_t size, struct error *error) MUST_CHECK;

/* Takes one message of exactly size bytes from the actor, never blocking; CAIRN_AGAIN: none. */
enum status actor_hear(struct actor *actor, void *message, size_t size, struct error *error) MUST_CHECK;

/* For the thread itself. */
void actor_ready(struct actor_self *self, enum status status, const struct error *error);
void *actor_self_pipe(struct actor_self *self);
void *actor_self_context(struct actor_self *self);
/* Takes one message of exactly size bytes, never blocking; CAIRN_AGAIN: none; CAIRN_CLOSED: told to stop. */
enum status actor_take(struct actor_self *self, void *message, size_t size, struct error *error) MUST_CHECK;
/* Sends size bytes by value to the owner. */
enum status actor_report(struct actor_self *self, const void *message, size_t size,
                         struct error *error) MUST_CHECK;

#endif
