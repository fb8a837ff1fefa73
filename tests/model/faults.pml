/* SPDX-License-Identifier: Apache-2.0
 *
 * Bugs planted to test the model: -DBUG=NAME wakes one, and a search must find what it breaks.
 * `run` has a search for each and refuses a list that it does not know.
 */
#ifndef BUG
#define BUG 0
#endif
#define NO_HOLD 1                 /* P4: inputs past their marker are read */
#define END_NOT_COUNTED 2         /* P4: END does not stand for a marker */
#define FEEDBACK_AWAITED 3        /* P4: the cut waits for the marker to come round the loop */
#define LOST_CONTENT 4            /* P7: one of the queued batches is not recorded */
#define HELD_CONTENT_LOGGED 5     /* P7: what lies behind a marker is recorded too */
#define FEEDBACK_NOT_LOGGED 6     /* P7: what comes round the loop after the cut is not recorded */
#define OUTLET_FORGOTTEN 7        /* P3: what a marker overtakes is not recorded */
#define MARKER_WAITS_FOR_CREDIT 8 /* P3: a marker sent ahead waits like a batch */
#define OVERTAKE_IGNORED 9        /* P5: OVERTAKE after the cut does nothing */
#define STALE_MARKER_COUNTED 10   /* P9: a marker of an aborted round counts for the open one */
#define ABORT_LEAVES_MARKER 11    /* P9: an abort does not take back a marker that waits */
#define ABORT_FORGOTTEN 12        /* P9: an abort is not remembered for markers that come later */
#define SOURCES_ONLY 13           /* P2: a round is announced to the sources only */
#define SEALED_TOO_EARLY 14       /* P8: sealed before the markers have left */
#define END_AWAITED 15            /* P8: not sealed while END waits behind a marker that has left */
#define NEXT_TOO_EARLY 16         /* P10: n+1 starts while n is cutting */
#define COMMIT_OUT_OF_ORDER 17    /* P10: n+1 is committed before n */
#define REPLAY_AFTER_NEW 18       /* P14: restored content comes behind new input */
#define NOT_CHARGED 19            /* P14: restored batches do not count against the window */
#define END_NOT_RESTORED 20       /* P8: the snapshot's flag does not bring END back */
#define HANDLE_DROPPED 21         /* an unconfirmed handle is not in the next snapshot */
#define ABORT_DROPS_HANDLE 22     /* a handle of an aborted round does not roll forward */
#define PUBLISH_BEFORE_COMMIT 23  /* a sink publishes at its cut */
#define NOT_IDEMPOTENT 24         /* what is published again is published twice */
#define CONFIRMED_BEFORE_SYNC 25  /* a handle is forgotten before the target folder is synced */
#define TOLD_BEFORE_SYNC 26       /* tasks are told after the rename, before the folder's sync */
#define NO_SYNC_AT_RECOVERY 27    /* a checkpoint is used that only the page cache holds */
#define OLD_EPOCH_ACCEPTED 28     /* the fence before the rename is skipped */
#define LOOP_ENDS_TOO_EARLY 29    /* a loop counts as empty while input may still come */
#define LOOP_OUTLET_FORGOTTEN 30  /* a loop counts as empty although an outlet in it is not */
