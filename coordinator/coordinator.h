/* The coordinator as a daemon: its socket, its clock and its records around the pure state machine.
 *
 * It owns a ROUTER, on which nodes (one frame a message) and clients (an empty frame first) speak to it. What
 * the state machine wants stored is stored, durably, before anything is sent that may tell of it. If storing
 * fails the program ends with one clear line; what was stored before is whole. One thread an object. */
#ifndef CAIRN_COORDINATOR_COORDINATOR_H
#define CAIRN_COORDINATOR_COORDINATOR_H

#include "options.h"

#include "base/status.h"

struct coordinator;

/* Opens the records, takes up their jobs, binds the socket and writes the endpoint that it is bound to into
 * the file DATA/endpoint. Owns: the caller, coordinator_free; context is borrowed until then. Errors: as
 * store_open and records_load; CAIRN_INVALID for an endpoint that cannot be bound. */
enum status coordinator_new(void *zmq_context, const struct coordinator_options *options,
                            struct coordinator **out, struct error *error) MUST_CHECK;

/* Closes all; takes DATA/endpoint away. NULL is allowed. */
void coordinator_free(struct coordinator *coordinator);

/* Where it can be reached, with the actual port; borrowed for the object's life. */
const char *coordinator_endpoint(const struct coordinator *coordinator);

/* Serves until stop_descriptor (a signalfd, an eventfd) can be read.
 * Errors: what makes it impossible to go on; the object can only be freed then. */
enum status coordinator_run(struct coordinator *coordinator, int stop_descriptor,
                            struct error *error) MUST_CHECK;

#endif
