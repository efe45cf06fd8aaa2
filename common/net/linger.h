/* The end of a socket that carries messages of many large parts.
 *
 * Nobody needs what such a socket has not sent when it is closed. Yet ZeroMQ is not told to drop it at once:
 * libzmq 4.3 ends the whole process ("Resource temporarily unavailable (src/session_base.cpp:260)") when it
 * gives up a message of which some parts have left, and the connection breaks before its threads have agreed
 * on that. Of sockets that were closed in the midst of messages while the other end closed as well, one in a
 * hundred did so on a busy machine. Within this time a message that has begun to leave is through, or the
 * other end stands still. */
#ifndef CAIRN_NET_LINGER_H
#define CAIRN_NET_LINGER_H

#define LINGER_MS 100

/* Has a ZeroMQ socket go on sending for so long after zmq_close, which does not wait for it; zmq_ctx_term
 * does. Returns 0, or -1 with zmq_errno(). Thread: the socket's. */
int linger_shortly(void *socket);

#endif
