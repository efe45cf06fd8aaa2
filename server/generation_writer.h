/* The thread of a shard that writes its generations, beside training. It owns every write transaction of the
 * shard's stores but those that open them, one at a time.
 *
 * Messages: to it `struct generation *`, complete; from it `struct generation_report`. It knows nothing of
 * jobs. */
#ifndef CAIRN_SERVER_GENERATION_WRITER_H
#define CAIRN_SERVER_GENERATION_WRITER_H

#include "generation.h"
#include "net/actor.h"

struct generation_report {
    struct generation *generation;
    enum status status;
    struct error error; /* when status is not CAIRN_OK */
};

/* An actor_run; the argument is not used. */
void generation_writer_run(struct actor_self *self, void *argument);

#endif
