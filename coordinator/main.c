/* The coordinator program. */
#include "coordinator.h"

#include "base/log.h"
#include "net/daemon.h"

static enum status serve(const void *settings, void *zmq_context, int stop_descriptor, struct error *error)
{
    const struct coordinator_options *options = settings;
    struct coordinator *coordinator = NULL;
    enum status status = coordinator_new(zmq_context, options, &coordinator, error);

    if (status == CAIRN_OK) {
        log_info("listening", "endpoint=%s data=\"%s\"", coordinator_endpoint(coordinator), options->data);
        status = coordinator_run(coordinator, stop_descriptor, error);
    }
    coordinator_free(coordinator);
    return status;
}

int main(int argc, char **argv)
{
    struct coordinator_options options;
    const struct daemon_program program = {"coordinator", &coordinator_options_table, &options,
                                           &options.log_level, serve};

    return daemon_main(&program, argc, argv);
}
