/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block.h"

struct list {
    struct pool_job *first, **end;
};

struct pool {
    const struct weir_allocator *allocator;
    void (*run)(struct pool_job *job);
    pthread_t *threads;
    uint32_t thread_count; /* running */
    int fd;
    atomic_bool stopping;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t given;
    struct list queue, done;
};

static void list_clear(struct list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static void list_add(struct list *list, struct pool_job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static struct pool_job *list_first(struct list *list)
{
    struct pool_job *job = list->first;
    if (!job)
        return NULL;
    list->first = job->next;
    if (!job->next)
        list->end = &list->first;
    return job;
}

/* ------------------------------------------------------------------------------- a thread -- */

/* The next job; NULL: the pool stops. With the lock held. */
static struct pool_job *wait_for_job(struct pool *pool)
{
    while (!pool->queue.first && !atomic_load(&pool->stopping))
        pthread_cond_wait(&pool->given, &pool->lock);
    return atomic_load(&pool->stopping) ? NULL : list_first(&pool->queue);
}

/* O2. A counter of 64 bits does not overflow, so the write can't fail. With the lock held. */
static void add_done(struct pool *pool, struct pool_job *job)
{
    const uint64_t one = 1;
    bool first = !pool->done.first;
    list_add(&pool->done, job);
    if (first) {
        ssize_t written = write(pool->fd, &one, sizeof one);
        (void)written;
    }
}

static void *thread_main(void *argument)
{
    struct pool *pool = argument;
    struct pool_job *job;
    pthread_mutex_lock(&pool->lock);
    while ((job = wait_for_job(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        atomic_store(&job->started, true);
        pool->run(job);
        pthread_mutex_lock(&pool->lock);
        add_done(pool, job);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* -------------------------------------------------------------------------- begin and end -- */

static void fill(struct weir_error *error, int number, const char *what)
{
    char reason[128];
    *error = (struct weir_error){.code = WEIR_IO, .os_error = number};
    snprintf(error->text, sizeof error->text, "%s: %s", what,
             strerror_r(number, reason, sizeof reason));
}

/* As for the job's own threads: signals are the application's business, faults are not blocked, for
 * a blocked one would end the process without its handler. */
static int start_thread(struct pool *pool, const char *name)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t blocked, before;
    char cut[16];
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    pthread_t *thread = &pool->threads[pool->thread_count];
    int failure = pthread_create(thread, NULL, thread_main, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure)
        return failure;
    pool->thread_count++;
    snprintf(cut, sizeof cut, "%s", name);
    pthread_setname_np(*thread, cut);
    return 0;
}

static struct pool *pool_make(const struct weir_allocator *allocator, uint32_t threads,
                              void (*run)(struct pool_job *job), struct weir_error *error)
{
    struct pool *pool = block_take(allocator, sizeof *pool);
    pthread_t *places = block_take(allocator, threads * sizeof *places);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!pool || !places || fd < 0) {
        int number = fd < 0 ? errno : ENOMEM;
        fill(error, number, "a pool of threads");
        error->code = fd < 0 ? WEIR_IO : WEIR_NO_MEMORY;
        if (fd >= 0)
            close(fd);
        block_drop(allocator, places);
        block_drop(allocator, pool);
        return NULL;
    }
    pool->allocator = allocator;
    pool->threads = places;
    pool->run = run;
    pool->fd = fd;
    list_clear(&pool->queue);
    list_clear(&pool->done);
    pthread_mutex_init(&pool->lock, NULL); /* with default attributes neither can fail on Linux */
    pthread_cond_init(&pool->given, NULL);
    return pool;
}

struct pool *pool_new(const struct weir_allocator *allocator, uint32_t threads, const char *name,
                      void (*run)(struct pool_job *job), struct weir_error *error)
{
    struct pool *pool = pool_make(allocator, threads, run, error);
    if (!pool)
        return NULL;
    while (pool->thread_count < threads) {
        int failure = start_thread(pool, name);
        if (failure == 0)
            continue;
        fill(error, failure, "starting a thread of the pool");
        pool_stop(pool);
        pool_free(&pool);
        return NULL;
    }
    return pool;
}

void pool_stop(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->stopping, true);
    pthread_cond_broadcast(&pool->given);
    pthread_mutex_unlock(&pool->lock);
    while (pool->thread_count > 0)
        pthread_join(pool->threads[--pool->thread_count], NULL);
    list_clear(&pool->queue);
    list_clear(&pool->done);
}

void pool_free(struct pool **pool)
{
    struct pool *old = *pool;
    if (!old)
        return;
    pthread_cond_destroy(&old->given);
    pthread_mutex_destroy(&old->lock);
    close(old->fd);
    block_drop(old->allocator, old->threads);
    block_drop(old->allocator, old);
    *pool = NULL;
}

/* ---------------------------------------------------------------------------- the owner -- */

bool pool_stopping(const struct pool *pool)
{
    return atomic_load(&pool->stopping);
}

void pool_give(struct pool *pool, struct pool_job *job)
{
    atomic_store(&job->started, false);
    pthread_mutex_lock(&pool->lock);
    list_add(&pool->queue, job);
    pthread_cond_signal(&pool->given);
    pthread_mutex_unlock(&pool->lock);
}

struct pool_job *pool_take(struct pool *pool)
{
    uint64_t count;
    pthread_mutex_lock(&pool->lock);
    struct pool_job *first = pool->done.first;
    list_clear(&pool->done);
    if (first) {
        ssize_t got = read(pool->fd, &count, sizeof count);
        (void)got; /* unread, it would only mean one look too many */
    }
    pthread_mutex_unlock(&pool->lock);
    return first;
}

int pool_fd(const struct pool *pool)
{
    return pool->fd;
}
