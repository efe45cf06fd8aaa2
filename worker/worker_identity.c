/* Names and numbers. */
#include "worker_identity.h"

#include "base/clock.h"
#include "cores.h"
#include "job/job.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static void find_host(struct worker_identity *identity)
{
    if (gethostname(identity->host, sizeof(identity->host)) != 0)
        snprintf(identity->host, sizeof(identity->host), "unknown");
    identity->host[sizeof(identity->host) - 1] = '\0';
}

/* Chance keeps apart the workers of containers that all call themselves process 1 of the same host. */
static void make_name(struct worker_identity *identity)
{
    uint32_t chance = 0;

    if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != (ssize_t)sizeof(chance))
        chance = (uint32_t)clock_ns();
    snprintf(identity->name, sizeof(identity->name), "worker-%.64s-%ld-%08" PRIx32, identity->host,
             (long)getpid(), chance);
}

enum status worker_identify(struct worker_identity *identity, const struct worker_options *options,
                            struct error *error)
{
    Cairn__Registration *registration = &identity->registration;

    find_host(identity);
    if (!options->name)
        make_name(identity);
    else if (options->name[0] == '\0' || strlen(options->name) >= sizeof(identity->name))
        return error_set(error, CAIRN_INVALID, "--name: 1 to %zu characters are allowed",
                         sizeof(identity->name) - 1);
    else
        snprintf(identity->name, sizeof(identity->name), "%s", options->name);
    cairn__registration__init(registration);
    registration->kind = CAIRN__NODE_KIND__NODE_KIND_WORKER;
    registration->name = identity->name;
    registration->host = identity->host;
    registration->process = (uint32_t)getpid();
    registration->version = (char *)CAIRN_VERSION;
    registration->lanes = options->threads > 0 ? (uint32_t)options->threads : core_count();
    registration->device = (char *)"cpu";
    if (options->device == DEVICE_CUDA)
        return error_set(error, CAIRN_UNSUPPORTED,
                         "--device cuda: this build has no cuda; auto and cpu are allowed");
    return CAIRN_OK;
}
