/* input.h: zlib's gz functions, which read plain files as they are, with a bound on what may come out. */
#include "data/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BUFFER_BYTES (256u * 1024u)
#define INPUT_READ_MAX     (1u << 30) /* gzread counts in int */
/* Deflate gives at most 258 bytes for 2 bits, so a file can grow by this factor and no more. */
#define INPUT_GROWTH_MAX 1032

static enum status input_measure(struct input *input, int descriptor, struct error *error)
{
    struct stat status;
    unsigned char magic[2];
    ssize_t got;

    if (fstat(descriptor, &status) != 0)
        return error_system(error, errno, "cannot read");
    if (!S_ISREG(status.st_mode))
        return error_set(error, CAIRN_INVALID, "not a regular file");
    got = pread(descriptor, magic, sizeof magic, 0);
    if (got < 0)
        return error_system(error, errno, "cannot read");
    input->bound = (uint64_t)status.st_size;
    if (got == 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
        if (input->bound > UINT64_MAX / INPUT_GROWTH_MAX)
            return error_set(error, CAIRN_INVALID, "too large");
        input->bound *= INPUT_GROWTH_MAX;
    }
    return CAIRN_OK;
}

enum status input_init(struct input *input, const char *path, struct error *error)
{
    enum status status;
    int descriptor;

    *input = (struct input){0};
    /* Not blocking, so that a named pipe is refused instead of waited for. */
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return error_system(error, errno, "cannot open");
    status = input_measure(input, descriptor, error);
    if (status == CAIRN_OK) {
        input->file = gzdopen(descriptor, "rb");
        if (input->file == NULL)
            status = error_set(error, CAIRN_NO_MEMORY, "out of memory");
    }
    if (input->file == NULL)
        close(descriptor);
    else
        (void)gzbuffer(input->file, INPUT_BUFFER_BYTES);
    return status;
}

void input_fini(struct input *input)
{
    if (input->file != NULL)
        (void)gzclose_r(input->file);
    input->file = NULL;
}

static enum status input_failure(struct input *input, struct error *error)
{
    int code;
    const char *message = gzerror(input->file, &code);
    int system = errno;

    if (code == Z_ERRNO)
        return error_system(error, system, "cannot read");
    if (code == Z_MEM_ERROR)
        return error_set(error, CAIRN_NO_MEMORY, "out of memory");
    if (code == Z_BUF_ERROR)
        return error_set(error, CAIRN_CORRUPT, "truncated: the gzip data end too early");
    return error_set(error, CAIRN_CORRUPT, "damaged gzip data (%s)", message);
}

enum status input_read(struct input *input, void *bytes, size_t want, size_t *got, struct error *error)
{
    unsigned char *end = bytes;
    size_t rest = want;

    while (rest > 0) {
        unsigned part = rest < INPUT_READ_MAX ? (unsigned)rest : INPUT_READ_MAX;
        int count = gzread(input->file, end, part);
        int code = Z_OK;

        /* A gzip stream that was cut short is told by gzerror only. */
        if (count >= 0 && (unsigned)count < part)
            (void)gzerror(input->file, &code);
        if (count < 0 || code != Z_OK)
            return input_failure(input, error);
        if (count == 0)
            break;
        end += count;
        rest -= (size_t)count;
    }
    *got = want - rest;
    return CAIRN_OK;
}
