/* The processes of a training: a coordinator, servers and workers, with their folders, endpoints and names.
 * A part of training.h, whose object they belong to. Main thread. */
#ifndef CAIRN_CLI_TRAINING_CHILDREN_H
#define CAIRN_CLI_TRAINING_CHILDREN_H

#include "training.h"

#define TRAINING_COORDINATOR "coordinator" /* the child's name */

/* Starts the coordinator, waits until it listens, and makes the requester to it. Started again it listens at
 * the same endpoint. Errors: those of training_wait; what cannot be made or started. */
enum status training_start_coordinator(struct training *training, struct error *error) MUST_CHECK;

/* Starts the servers and workers; they find the coordinator by themselves. */
enum status training_start_nodes(struct training *training, struct error *error) MUST_CHECK;

#endif
