/* The coordinator program: settings, signals, run. */
#include "coordinator.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

/* Serves until a signal ends it. */
static enum status run(const struct coordinator_options *options, void *context, int signals,
                       struct error *error)
{
    struct coordinator *coordinator = NULL;
    enum status status = coordinator_new(context, options, &coordinator, error);

    if (status == CAIRN_OK) {
        log_info("listening", "endpoint=%s data=\"%s\"", coordinator_endpoint(coordinator), options->data);
        status = coordinator_run(coordinator, signals, error);
    }
    coordinator_free(coordinator);
    return status;
}

int main(int argc, char **argv)
{
    struct coordinator_options options = {0};
    enum settings_outcome outcome = SETTINGS_RUN;
    struct error error = {.status = CAIRN_OK};
    sigset_t ends;
    void *context;
    int signals;

    if (coordinator_options_resolve(argc, argv, &options, &outcome, &error) != CAIRN_OK) {
        fprintf(stderr, "cairn-coordinator: %s\n", error.message);
        return 2;
    }
    if (outcome != SETTINGS_RUN)
        return 0;
    log_init(options.log_level, "coordinator");
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL); /* before ZeroMQ's threads inherit the mask */
    signals = signalfd(-1, &ends, SFD_CLOEXEC);
    context = zmq_ctx_new();
    if (signals < 0 || !context)
        error_system(&error, errno, "cannot start");
    else if (run(&options, context, signals, &error) == CAIRN_OK)
        log_info("stopped", "%s", "");
    if (error.status != CAIRN_OK)
        log_error("failed", "reason=\"%s\"", error.message);
    zmq_ctx_term(context);
    close(signals);
    return error.status == CAIRN_OK ? 0 : error.status == CAIRN_INVALID ? 2 : 1;
}
