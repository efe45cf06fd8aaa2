/* The processes of a benchmark of messages: servers and clients, forked from the benchmark, which starts the
 * clients together, again and again, and takes their times.
 *
 * The parent holds no thread and no messaging context, so that it may fork at any time; several crews may
 * live side by side, those that are not running sleep. A process that fails says why and ends the run; all
 * end with their parent. Knows nothing of what is sent. One thread. */
#ifndef CAIRN_BENCH_CREW_H
#define CAIRN_BENCH_CREW_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define CREW_SERVERS_MAX    8
#define CREW_CLIENTS_MAX    64
#define CREW_ENDPOINT_BYTES 256
#define CREW_STEPS_MAX      1000000u

struct crew;

/* What a process knows of where it is. */
struct crew_place {
    struct crew *crew;
    const char *transport; /* "tcp" or "ipc" */
    const char *directory; /* this crew's own, removed with it */
    uint32_t index;        /* of this server or client */
    uint32_t server_count, client_count;
    char (*endpoints)[CREW_ENDPOINT_BYTES]; /* [server_count]; for clients */
    const void *argument;
};

/* What its processes do; each function is called in the process itself. */
struct crew_roles {
    /* Binds, calls crew_serving, and serves until it is killed; returns only when it cannot go on. */
    enum status (*serve)(const struct crew_place *place, struct error *error);
    /* Connects; all servers are serving. What it makes goes with the process. */
    enum status (*connect)(const struct crew_place *place, void **client, struct error *error);
    /* Does `steps` steps; times_ns[i]: what step i took from its first message to its last answer. */
    enum status (*run)(void *client, uint32_t steps, uint64_t *times_ns, struct error *error);
};

struct crew_params {
    const char *transport;
    uint32_t server_count, client_count; /* servers: perhaps none */
    const struct crew_roles *roles;
    const void *argument; /* borrowed for the crew's life */
};

/* Starts all processes; returns when the clients are connected. Owns: the caller, crew_free.
 * Errors: what a process reported, CAIRN_IO. */
enum status crew_start(const struct crew_params *params, struct crew **out, struct error *error) MUST_CHECK;
/* Ends all processes. NULL is allowed. */
void crew_free(struct crew *crew);

struct crew_times {
    double seconds;                                /* of the slowest client, for all steps */
    double step_seconds;                           /* the median step of client 0 */
    double server_cpu_seconds, client_cpu_seconds; /* of all their threads, for all steps */
};

/* Lets every client do `steps` steps (at most CREW_STEPS_MAX). */
enum status crew_run(struct crew *crew, uint32_t steps, struct crew_times *times,
                     struct error *error) MUST_CHECK;

/* How many steps take about `seconds`, found by running. */
enum status crew_calibrate(struct crew *crew, double seconds, uint32_t *steps,
                           struct error *error) MUST_CHECK;

/* The resident memory of a server's process in bytes, now and at its highest; 0: not known. */
uint64_t crew_server_bytes(const struct crew *crew, uint32_t server, uint64_t *peak);

/* From within serve: the server is bound to `endpoint` and ready. */
void crew_serving(const struct crew_place *place, const char *endpoint);
/* Where a server is to listen, as ZeroMQ wants it. */
void crew_listen(const struct crew_place *place, char endpoint[CREW_ENDPOINT_BYTES]);

#endif
