/* The folder in which a `cairn train` run keeps what it must not lose, and the short-lived private folder of
 * its sockets.
 *
 *     STATE/cairn.lock     the mark of such a folder; locked while a run or any child of it lives
 *     STATE/coordinator    the coordinator's records
 *     STATE/server-0 ...   the servers' shards
 *     STATE/logs           what the programs wrote
 *     $TMPDIR/cairn-XXXXXX sockets (their paths must be short)
 *
 * Nothing is ever removed from a folder that does not carry the mark. Main thread. */
#ifndef CAIRN_CLI_RUN_FOLDER_H
#define CAIRN_CLI_RUN_FOLDER_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

#define RUN_FOLDER_PATH_MAX 4096

struct run_folder {
    char path[RUN_FOLDER_PATH_MAX / 2];
    char sockets[96]; /* "" until it was made */
    int lock; /* descriptor, -1: none; children inherit it, so that the lock lives as long as they do */
};

/* Makes the folder (and its parents) when it is not there, locks it and makes the folder for sockets. When
 * the run that had the lock was killed, waits for the end of its children and removes its sockets.
 * run_folder_close is right also after a failure.
 * Errors: CAIRN_EXISTS when another run has the lock; CAIRN_INVALID when the folder holds other things. */
enum status run_folder_open(struct run_folder *folder, const char *path, struct error *error) MUST_CHECK;

/* Removes the sockets and lets go of the lock. */
void run_folder_close(struct run_folder *folder);

/* STATE/NAME. */
void run_folder_path(const struct run_folder *folder, const char *name, char path[RUN_FOLDER_PATH_MAX]);

/* Whether there is something of an earlier run. */
bool run_folder_has_run(const struct run_folder *folder);

/* How many servers the earlier run had; 0: none. */
uint32_t run_folder_server_count(const struct run_folder *folder);

/* Makes STATE/NAME when it is not there. */
enum status run_folder_make(const struct run_folder *folder, const char *name,
                            struct error *error) MUST_CHECK;

/* Removes what there is of an earlier run; its logs only when asked to. */
enum status run_folder_wipe(const struct run_folder *folder, bool with_logs, struct error *error) MUST_CHECK;

/* Wipes, then makes the folders of all servers, before anything else that makes it a run: so a run that is
 * killed at any moment has all of its servers or is none. */
enum status run_folder_begin(const struct run_folder *folder, uint32_t servers, bool with_logs,
                             struct error *error) MUST_CHECK;

#endif
