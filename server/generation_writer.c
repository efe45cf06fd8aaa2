/* The generation writer's thread. */
#include "generation_writer.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

static void write_and_report(struct actor_self *self, struct generation *generation)
{
    struct generation_report report;
    struct error error;

    memset(&report, 0, sizeof(report));
    report.generation = generation;
    report.status = generation_write(generation, &report.error);
    if (actor_report(self, &report, sizeof(report), &error) != CAIRN_OK)
        log_error("report_lost", "thread=writer reason=\"%s\"", error.message);
}

void generation_writer_run(struct actor_self *self, void *argument)
{
    zmq_pollitem_t item = {actor_self_pipe(self), 0, ZMQ_POLLIN, 0};
    struct generation *generation;
    enum status status = CAIRN_AGAIN;

    (void)argument;
    actor_ready(self, CAIRN_OK, NULL);
    while (status != CAIRN_CLOSED) {
        status = actor_take(self, &generation, sizeof(generation), NULL);
        if (status == CAIRN_OK)
            write_and_report(self, generation);
        else if (status == CAIRN_AGAIN && zmq_poll(&item, 1, -1) < 0 && zmq_errno() != EINTR)
            status = CAIRN_CLOSED;
    }
}
