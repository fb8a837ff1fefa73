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
#define SOURCES_ONLY 11           /* P2: a round is announced to the sources only */
#define SEALED_TOO_EARLY 12       /* P8: sealed before the markers have left */
#define END_AWAITED 13            /* P8: sealed only when END has left too, behind a marker that has */
#define NEXT_TOO_EARLY 14         /* P10: n+1 starts while n is cutting */
#define COMMIT_OUT_OF_ORDER 15    /* P10: n+1 is committed before n */
#define REPLAY_AFTER_NEW 16       /* P14: restored content comes behind new input */
#define NOT_CHARGED 17            /* P14: restored batches do not count against the window */
#define END_NOT_RESTORED 18       /* P8: the snapshot's flag does not bring END back */
#define HANDLE_DROPPED 19         /* an unconfirmed handle is not in the next snapshot */
#define ABORT_DROPS_HANDLE 20     /* a handle of an aborted round does not roll forward */
#define PUBLISH_BEFORE_COMMIT 21  /* a sink publishes at its cut */
#define NOT_IDEMPOTENT 22         /* what is published again is published twice */
#define CONFIRMED_BEFORE_SYNC 23  /* a handle is forgotten before the target folder is synced */
#define TOLD_BEFORE_SYNC 24       /* tasks are told after the rename, before the folder's sync */
#define NO_SYNC_AT_RECOVERY 25    /* a checkpoint is used that only the page cache holds */
#define OLD_EPOCH_ACCEPTED 26     /* the fence before the rename is skipped */
#define LOOP_ENDS_TOO_EARLY 27    /* a loop counts as empty while input may still come */
#define LOOP_OUTLET_FORGOTTEN 28  /* a loop counts as empty although an outlet in it is not */
