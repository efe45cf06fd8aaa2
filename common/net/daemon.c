/* The start and the end of a daemon. */
#include "net/daemon.h"

#include "base/log.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

#define HEAP_BLOCK_MAX (32 << 20) /* larger ones are mapped; the most that glibc takes */
#define HEAP_TRIM      (1 << 30)

/* A descriptor that is readable once the process was told to end. */
static enum status take_signals(int *descriptor, struct error *error)
{
    sigset_t ends;
    int code;

    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    code = pthread_sigmask(SIG_BLOCK, &ends, NULL);
    if (code != 0)
        return error_system(error, code, "cannot block signals");
    *descriptor = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    return *descriptor >= 0 ? CAIRN_OK : error_system(error, errno, "cannot take signals");
}

/* Signals first: ZeroMQ's threads inherit the mask. A write beyond the largest file that the process may have
 * is to fail like any other. */
static enum status serve(const struct daemon_program *program, struct error *error)
{
    void *context = NULL;
    int signals = -1;
    enum status status = take_signals(&signals, error);

    (void)signal(SIGXFSZ, SIG_IGN);
    if (status != CAIRN_OK)
        return status;
    context = zmq_ctx_new();
    if (context) {
        status = program->serve(program->settings, context, signals, error);
        zmq_ctx_term(context);
    } else {
        status = error_system(error, zmq_errno(), "cannot start messaging");
    }
    close(signals);
    return status;
}

int daemon_run(const struct daemon_program *program)
{
    struct error error;

    log_init((enum log_level) * program->log_level, program->name);
    if (serve(program, &error) != CAIRN_OK) {
        log_error("failed", "reason=\"%s\"", error.message);
        return DAEMON_FAILED;
    }
    log_info("stopped", "");
    return DAEMON_STOPPED;
}

int daemon_main(const struct daemon_program *program, int argc, char **argv)
{
    enum settings_outcome outcome;
    struct error error;

    if (settings_resolve(program->table, argc, argv, program->settings, &outcome, &error) != CAIRN_OK) {
        fprintf(stderr, "%s: %s\n", program->table->program, error.message);
        return DAEMON_USAGE;
    }
    return outcome == SETTINGS_RUN ? daemon_run(program) : DAEMON_STOPPED;
}

void daemon_keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_MAX);
    mallopt(M_TRIM_THRESHOLD, HEAP_TRIM);
}
