/* The worker program, and `cairn-worker evaluate`. */
#include "base/log.h"
#include "evaluate.h"
#include "net/daemon.h"
#include "worker.h"

#include <string.h>
#include <unistd.h>

/* In the midst of a job, whose threads end with the process. */
static _Noreturn void end_at_once(enum status status, const struct error *error)
{
    if (status != CAIRN_OK)
        log_error("failed", "reason=\"%s\"", error->message);
    log_info("stopped", "in=\"the midst of a job\"");
    _exit(status == CAIRN_OK ? DAEMON_STOPPED : DAEMON_FAILED);
}

static enum status serve(const void *settings, void *zmq_context, int stop_descriptor, struct error *error)
{
    struct worker *worker = NULL;
    enum status status;

    worker_keep_memory();
    status = worker_new(zmq_context, settings, &worker, error);
    if (status == CAIRN_OK)
        status = worker_run(worker, stop_descriptor, error);
    if (worker && !worker_leave(worker))
        end_at_once(status, error);
    worker_free(worker);
    return status;
}

int main(int argc, char **argv)
{
    struct worker_options options;
    const struct daemon_program program = {"worker", &worker_options_table, &options, &options.log_level,
                                           serve};

    if (argc > 1 && strcmp(argv[1], "evaluate") == 0)
        return evaluate_main(argc - 1, argv + 1);
    return daemon_main(&program, argc, argv);
}
