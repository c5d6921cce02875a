/* SPDX-License-Identifier: MIT */
/*
 * A server that dies takes with it what it had acknowledged but not flushed. No
 * copy of that is kept here (guest pages go to the socket as they are), so it
 * cannot be written again; but the guest must not believe it is safe. So:
 *
 *   - a connection that ends or begins while acknowledged writes are unflushed
 *     declares them lost;
 *   - every flush that was submitted before a loss was told fails, which tells
 *     it; later ones do not.
 *
 * Once is enough: a failed flush says that anything since the last good one may
 * be gone, and the guest decides what to write again or to stop. A flush that
 * the server itself fails is another matter, also that of a FUA write: its medium
 * is in doubt, and all later flushes fail too.
 *
 * Beginning counts as well as ending because a new connection may reach a new
 * server before another connection notices that the old one is dead. At worst a
 * guest that starts anew over unflushed writes gets one failed flush too many.
 */
#include <errno.h>

#include "base/inspect.h"
#include "disk/nbd/nbd_impl.h"

void nbd_durability_init(struct nbd_durability *l)
{
	*l = (struct nbd_durability){0};
	pthread_mutex_init(&l->lock, NULL);
}

void nbd_durability_fini(struct nbd_durability *l)
{
	pthread_mutex_destroy(&l->lock);
}

void nbd_durability_acked(struct nbd_durability *l)
{
	pthread_mutex_lock(&l->lock);
	l->acked++;
	pthread_mutex_unlock(&l->lock);
}

void nbd_durability_lost(struct nbd_durability *l)
{
	pthread_mutex_lock(&l->lock);
	if (l->acked > l->flushed && l->acked > l->declared) {
		l->declared = l->acked;
		l->losses++;
	}
	pthread_mutex_unlock(&l->lock);
}

void nbd_durability_flush_begin(struct nbd_durability *l, struct nbd_flush *f)
{
	pthread_mutex_lock(&l->lock);
	f->acked = l->acked;
	f->reported = l->reported;
	pthread_mutex_unlock(&l->lock);
}

int nbd_durability_flush_end(struct nbd_durability *l, const struct nbd_flush *f, int error)
{
	pthread_mutex_lock(&l->lock);
	if (!l->sticky)
		l->sticky = error;
	error = l->sticky;
	if (l->losses > f->reported) {
		l->reported = l->losses;
		error = error ? error : -EIO;
	} else if (!error && f->acked > l->flushed) {
		l->flushed = f->acked;
	}
	pthread_mutex_unlock(&l->lock);
	return error;
}

void nbd_durability_flush_failed(struct nbd_durability *l, int error)
{
	pthread_mutex_lock(&l->lock);
	if (!l->sticky)
		l->sticky = error;
	pthread_mutex_unlock(&l->lock);
}

void nbd_durability_inspect(struct nbd_durability *l, struct inspect *i)
{
	pthread_mutex_lock(&l->lock);
	inspect_u64(i, "writes_acked", l->acked);
	inspect_u64(i, "writes_flushed", l->flushed);
	inspect_u64(i, "losses", l->losses);
	pthread_mutex_unlock(&l->lock);
}
