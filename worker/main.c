/* The worker program: settings, signals, run. */
#include "evaluate.h"
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

/* Serves until a signal ends it. */
static enum status run(const struct worker_options *options, void *context, int signals, struct error *error)
{
    struct worker *worker = NULL;
    enum status status = worker_new(context, options, &worker, error);

    if (status == CAIRN_OK)
        status = worker_run(worker, signals, error);
    worker_free(worker);
    return status;
}

int main(int argc, char **argv)
{
    struct worker_options options = {0};
    enum settings_outcome outcome = SETTINGS_RUN;
    enum status status;
    struct error error;
    sigset_t ends;
    void *context;
    int signals;

    if (argc > 1 && strcmp(argv[1], "evaluate") == 0)
        return evaluate_main(argc - 1, argv + 1);
    if (worker_options_resolve(argc, argv, &options, &outcome, &error) != CAIRN_OK) {
        fprintf(stderr, "cairn-worker: %s\n", error.message);
        return 2;
    }
    if (outcome != SETTINGS_RUN)
        return 0;
    log_init(options.log_level, "worker");
    worker_keep_memory();
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* before ZeroMQ's threads inherit the mask */
    signals = signalfd(-1, &ends, SFD_CLOEXEC);
    context = zmq_ctx_new();
    status = signals < 0 || !context ? error_system(&error, errno, "cannot start")
                                     : run(&options, context, signals, &error);
    if (status == CAIRN_OK)
        log_info("stopped", "");
    else
        log_error("failed", "reason=\"%s\"", error.message);
    zmq_ctx_term(context);
    close(signals);
    return status == CAIRN_OK ? 0 : status == CAIRN_INVALID ? 2 : 1;
}
