/* The server program. */
#include "net/daemon.h"
#include "server.h"

static enum status serve(const void *settings, void *zmq_context, int stop_descriptor, struct error *error)
{
    daemon_keep_memory();
    return server_run(settings, zmq_context, stop_descriptor, error);
}

int main(int argc, char **argv)
{
    struct server_settings settings;
    const struct daemon_program program = {"server", &server_settings_table, &settings, &settings.log_level,
                                           serve};

    return daemon_main(&program, argc, argv);
}
