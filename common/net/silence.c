/* Options of the kernel's TCP. */
#include "net/silence.h"

#include <zmq.h>

/* Between two questions, when nothing else goes on. */
#define QUESTION_S 5

int silence_watch(void *socket)
{
    const struct {
        int option, value;
    } settings[] = {
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, QUESTION_S},
        {ZMQ_TCP_KEEPALIVE_INTVL, QUESTION_S},
        {ZMQ_TCP_MAXRT, SILENCE_MS}, /* which says when questions end, too */
    };

    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (zmq_setsockopt(socket, settings[i].option, &settings[i].value, sizeof(settings[i].value)) != 0)
            return -1;
    }
    return 0;
}
