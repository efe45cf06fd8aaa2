/* The server's name. */
#include "identity.h"

#include <inttypes.h>
#include <sodium/randombytes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME_KEY       "name"
#define NAME_KEY_BYTES 4
#define PART_BYTES     48 /* most of the host and of the directory in a made name */

static bool is_name_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static enum status name_check(const char *name, struct error *error)
{
    size_t length = strlen(name);
    bool good = length > 0 && length < IDENTITY_NAME_MAX;

    for (size_t i = 0; i < length && good; i++)
        good = is_name_character(name[i]);
    if (good)
        return CAIRN_OK;
    return error_set(error, CAIRN_INVALID, "\"%.64s\" is no server name: 1 to %d letters, digits, -, _ and .",
                     name, IDENTITY_NAME_MAX - 1);
}

/* Copies what may stand in a name of the last component of a path. */
static void name_part(const char *path, char part[PART_BYTES])
{
    size_t end = strlen(path), begin, used = 0;

    while (end > 0 && path[end - 1] == '/')
        end--;
    for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
        ;
    for (size_t i = begin; i < end && used + 1 < PART_BYTES; i++) {
        if (is_name_character(path[i]))
            part[used++] = path[i];
    }
    part[used] = '\0';
}

static void name_make(struct identity *identity, const char *data_directory)
{
    char host[PART_BYTES], directory[PART_BYTES];

    name_part(identity->host, host);
    name_part(data_directory, directory);
    snprintf(identity->name, sizeof(identity->name), "%s-%s-%06" PRIx32, host, directory,
             randombytes_uniform(1u << 24));
}

/* The name that the directory keeps; CAIRN_NOT_FOUND: none. */
static enum status name_read(struct identity *identity, struct error *error)
{
    struct store_transaction *transaction;
    const void *value;
    size_t length;
    enum status status = store_begin_read(identity->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = store_get(transaction, NAME_KEY, NAME_KEY_BYTES, &value, &length, error);
    if (status == CAIRN_OK && length < sizeof(identity->name)) {
        memcpy(identity->name, value, length);
        identity->name[length] = '\0';
        status = name_check(identity->name, error);
    } else if (status == CAIRN_OK) {
        status = error_set(error, CAIRN_CORRUPT, "the name that the data directory keeps is too long");
    }
    store_abort(transaction);
    return status;
}

static enum status name_write(struct identity *identity, struct error *error)
{
    struct store_transaction *transaction;
    enum status status = store_begin_write(identity->store, &transaction, error);

    if (status != CAIRN_OK)
        return status;
    status = store_put(transaction, NAME_KEY, NAME_KEY_BYTES, identity->name, strlen(identity->name), error);
    if (status != CAIRN_OK) {
        store_abort(transaction);
        return status;
    }
    return store_commit(transaction, error);
}

enum status identity_init(struct identity *identity, const char *data_directory, const char *name,
                          struct error *error)
{
    enum status status;

    memset(identity, 0, sizeof(*identity));
    if (gethostname(identity->host, sizeof(identity->host) - 1) != 0)
        snprintf(identity->host, sizeof(identity->host), "localhost");
    status = name ? name_check(name, error) : CAIRN_OK;
    if (status == CAIRN_OK)
        status = store_open(data_directory, 0, &identity->store, error);
    if (status != CAIRN_OK)
        return status;
    status = name_read(identity, error);
    if (status == CAIRN_NOT_FOUND) {
        if (name)
            snprintf(identity->name, sizeof(identity->name), "%s", name);
        else
            name_make(identity, data_directory);
        return name_write(identity, error);
    }
    if (status == CAIRN_OK && name && strcmp(name, identity->name) != 0)
        return error_set(error, CAIRN_INVALID, "%s holds the state of server %s, which cannot become %s",
                         data_directory, identity->name, name);
    return status;
}

void identity_fini(struct identity *identity)
{
    store_close(identity->store);
    identity->store = NULL;
}
