/* The worker program, and `cairn-worker evaluate`. */
#include "evaluate.h"
#include "net/daemon.h"
#include "worker.h"

#include <string.h>

static enum status serve(const void *settings, void *zmq_context, int stop_descriptor, struct error *error)
{
    struct worker *worker = NULL;
    enum status status;

    worker_keep_memory();
    status = worker_new(zmq_context, settings, &worker, error);
    if (status == CAIRN_OK)
        status = worker_run(worker, stop_descriptor, error);
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
