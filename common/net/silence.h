/* Connections that have died without a word: the machine at the other end, or something between, forgot them.
 *
 * Who only waits for an answer would wait for ever, as nothing that it sends is refused. So the kernel asks
 * the other end's kernel from time to time, and ends the connection when it has heard nothing for SILENCE_MS;
 * the socket's monitor tells it like any other end. That is the kernels' own talk: a program that is busy or
 * stopped does not look dead. But one that reads nothing for so long, while there is more for it than buffers
 * take, is cut off. Rejected: heartbeats of ZeroMQ, which a peer does not answer while it takes no more
 * messages. */
#ifndef CAIRN_NET_SILENCE_H
#define CAIRN_NET_SILENCE_H

#define SILENCE_MS 20000

/* Has a ZeroMQ socket's connections watched, over TCP: those that it makes, or takes, from now on.
 * Returns 0, or -1 with zmq_errno(). Thread: the socket's. */
int silence_watch(void *socket);

#endif
