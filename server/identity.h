/* The server's name, kept in its data directory: the same directory is the same server for the coordinator,
 * wherever and whenever it is started. Holding the directory open keeps a second server out. Main thread. */
#ifndef CAIRN_SERVER_IDENTITY_H
#define CAIRN_SERVER_IDENTITY_H

#include "base/status.h"
#include "store/store.h"

#define IDENTITY_NAME_MAX 128 /* bytes, with the end */
#define IDENTITY_HOST_MAX 256

struct identity {
    struct store *store;
    char name[IDENTITY_NAME_MAX];
    char host[IDENTITY_HOST_MAX];
};

/* Opens or makes the data directory and finds the name: the one kept there, else `name`, else one made of the
 * host, the directory and chance.
 * Errors: CAIRN_EXISTS (another server has it), CAIRN_INVALID (the name is not allowed, or the directory is
 * of a server of another name), those of store_open. identity_fini is safe after failure. */
enum status identity_init(struct identity *identity, const char *data_directory, const char *name,
                          struct error *error) MUST_CHECK;
void identity_fini(struct identity *identity);

#endif
