/* The coordinator's durable state: one record a job, and the newest entries of each job's log.
 *
 * Keys: "draining" a packed DrainingNodes; "deleted" a packed DeletedJobs; "job/NUMBER" a packed JobRecord;
 * "log/JOB/NUMBER" a packed LogEntry; "newest/JOB" the number of the newest entry. Numbers have 20 digits, so
 * that keys sort as numbers do. Entries older than the newest JOB_ENTRIES_MAX are removed as new ones come.
 * Records of later formats are refused. One thread an object.
 */
#ifndef CAIRN_COORDINATOR_RECORDS_H
#define CAIRN_COORDINATOR_RECORDS_H

#include "base/status.h"
#include "effects.h"

struct records;

/* Opens or makes the store in a directory. Errors: as store_open. Owns: the caller, records_close. */
enum status records_open(const char *directory, struct records **out, struct error *error) MUST_CHECK;
void records_close(struct records *records);

/* Calls visit for every job, by growing number, until it returns other than CAIRN_OK.
 * record: borrowed during the call. newest_entry: number of the job's newest log entry, 0: none.
 * Errors: visit's; CAIRN_CORRUPT for what does not unpack; CAIRN_UNSUPPORTED for another format. */
typedef enum status records_visit(void *context, const Cairn__JobRecord *record, uint64_t newest_entry,
                                  struct error *error);
enum status records_load(struct records *records, records_visit *visit, void *context,
                         struct error *error) MUST_CHECK;

/* Reads who is to end. *out is NULL when nobody ever was. Owns: the caller, with
 * cairn__draining_nodes__free_unpacked. Errors: CAIRN_CORRUPT for what does not unpack. */
enum status records_load_draining(struct records *records, Cairn__DrainingNodes **out,
                                  struct error *error) MUST_CHECK;

/* Reads what is left of jobs that were deleted. *out is NULL when none ever was. Owns: the caller, with
 * cairn__deleted_jobs__free_unpacked. Errors: CAIRN_CORRUPT for what does not unpack. */
enum status records_load_deleted(struct records *records, Cairn__DeletedJobs **out,
                                 struct error *error) MUST_CHECK;

/* Stores all records and log entries among the effects, and removes those that are to go, durably, in one
 * transaction (none when there are none). Errors: nothing was stored. */
enum status records_store(struct records *records, const struct effects *effects,
                          struct error *error) MUST_CHECK;

/* Reads a job's log entries with numbers greater than after, as a LogsReply without its end set.
 * Owns: *out is the caller's: cairn__logs_reply__free_unpacked(*out, NULL). */
enum status records_read_log(struct records *records, uint64_t job, uint64_t after, Cairn__LogsReply **out,
                             struct error *error) MUST_CHECK;

#endif
