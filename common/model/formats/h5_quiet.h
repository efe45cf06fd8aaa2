/* libhdf5 without its habit of printing, and the reason of its last failure. Inside formats/ only.
 * libhdf5 is not thread-safe: as h5.h, one thread of a process. */
#ifndef CAIRN_MODEL_FORMATS_H5_QUIET_H
#define CAIRN_MODEL_FORMATS_H5_QUIET_H

#include <hdf5.h>

#define H5_NONE        H5I_INVALID_HID
#define H5_REASON_SIZE 160

/* What libhdf5 did with its errors before; h5_loud puts it back. */
struct h5_quiet {
    H5E_auto2_t function;
    void *data;
};

void h5_quiet(struct h5_quiet *before);
void h5_loud(const struct h5_quiet *before);

/* The innermost message of the call that failed last; to be called before any other of libhdf5. */
const char *h5_reason(char reason[H5_REASON_SIZE]);

/* Closes an id of any kind unless it is H5_NONE. */
void h5_close(hid_t id);

#endif
