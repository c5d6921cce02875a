/* SPDX-License-Identifier: MIT */
/*
 * The NICs of a clone that goes on from an image: its guest knows them by the addresses of the
 * original. They are there at first, but connected to nothing, so that no frame with such an
 * address leaves; when the guest runs, each is removed, and one with the clone's own address is
 * added in its place.
 *
 * run.old_nics is on disk until all are replaced; meanwhile the VM is not paused or saved. What the
 * worker refuses is tried again. A manager that dies meanwhile leaves some that are replaced: the
 * next one replaces all of them, once more.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "mgmt/manager/manager.h"

static const json_t *nic_at(const struct mvm *v, size_t index)
{
	return json_array_get(json_object_get(v->def.config, "nics"), index);
}

bool mvm_has_nics(const struct mvm *v)
{
	return nic_at(v, 0);
}

int mvm_disconnect_nics(json_t *config)
{
	static const char *const of_backends[] = {"forward", "program"};
	json_t *nics = json_object_get(config, "nics");
	int ret = 0;

	for (size_t i = 0; i < json_array_size(nics); i++) {
		json_t *nic = json_array_get(nics, i);

		ret |= json_object_set_new(nic, "backend", json_string("null"));
		for (size_t k = 0; k < sizeof(of_backends) / sizeof(of_backends[0]); k++)
			json_object_del(nic, of_backends[k]);
	}
	return ret ? -ENOMEM : 0;
}

/* ---- one after the other ------------------------------------------------- */

static void replace_next(struct mvm *v);

static void end(struct mvm *v)
{
	v->replacing = false;
	v->run.old_nics = false;
	mvm_record(v);
}

/* Begins anew, with this one, when the VM says again that it runs. */
static void later(struct mvm *v, const struct err *why)
{
	v->replacing = false;
	if (why && !v->nic_failed)
		log_error("VM %s: nic%zu of the clone cannot be replaced yet: %s", v->def.id,
			v->nic, why->text);
	v->nic_failed |= why != NULL;
}

static void on_added(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	if (!reply) {
		later(v, e);
		return;
	}
	v->nic++;
	v->nic_failed = false;
	replace_next(v);
}

/* The worker says only in words what it refuses. */
static bool is_gone(const struct err *e)
{
	return strstr(e->text, "there is no NIC");
}

static void on_removed(
	struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	const json_t *nic = nic_at(v, v->nic);

	if (!reply && !is_gone(e)) {
		later(v, e);
		return;
	}
	if (!nic || mvm_ask(v,
			    json_pack("{s:s, s:O, s:s}", "command", "nic add", "spec", nic,
				    "directory", "/"),
			    CTL_WAIT_MS, NULL, on_added))
		later(v, NULL);
}

static void replace_next(struct mvm *v)
{
	const json_t *nic = nic_at(v, v->nic);
	char id[32];

	if (!nic) {
		end(v);
		return;
	}
	snprintf(id, sizeof(id), "nic%lld",
		(long long)json_integer_value(json_object_get(nic, "number")));
	if (mvm_ask(v, json_pack("{s:s, s:s}", "command", "nic remove", "id", id), CTL_WAIT_MS,
		    NULL, on_removed))
		later(v, NULL);
}

void mvm_replace_nics(struct mvm *v)
{
	if (v->replacing)
		return;
	v->replacing = true;
	replace_next(v);
}
