/* SPDX-License-Identifier: MIT */
/* The value: its life, and the rules that concern all of it. */
#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config_impl.h"

/* ---- life ---------------------------------------------------------------- */

int vm_config_init(struct vm_config *c, struct err *e)
{
	memset(c, 0, sizeof(*c));
	return schema_init(vm_keys, c) ? err_set(e, -ENOMEM, "out of memory") : 0;
}

void vm_config_free(struct vm_config *c)
{
	for (const struct config_list *list = config_lists; list->name; list++)
		config_list_free(list, c);
	schema_fini(vm_keys, c);
	for (uint32_t i = 0; i < VM_CONFIG_KEYS; i++)
		free(c->origins[i]);
	free(c->file);
	free(c->directory);
	memset(c, 0, sizeof(*c));
}

/* ---- rules --------------------------------------------------------------- */

static int check_required(const struct vm_config *c, struct err *e)
{
	const struct schema_key *key = schema_missing(vm_keys, c);

	if (!key)
		return 0;
	return err_set(e, -EINVAL, "%s%s%s: is missing; give the option --%s or the key \"%s\"",
		c->file ? c->file : "", c->file ? ":1: " : "", key->name, key->name, key->name);
}

static int fail_device(const struct device_config *d, const char *key, int ret,
	const struct err *why, struct err *e)
{
	return err_set(e, ret, "%s%s%s: %s", d->origin ? d->origin : "device",
		d->joint ? d->joint : ": ", key, why->text);
}

static const struct disk_config *disk_at(
	const struct vm_config *c, uint32_t controller, int64_t lun)
{
	for (uint32_t i = 0; i < c->disk_count; i++)
		if (c->disks[i].controller == controller && c->disks[i].lun == lun)
			return &c->disks[i];
	return NULL;
}

static int check_lun(const struct vm_config *c, const struct disk_config *d, struct err *e)
{
	const struct disk_config *other = disk_at(c, d->controller, d->lun);
	struct err why;

	if (d->lun == VM_AUTO || other == d)
		return 0;
	err_set(&why, -EINVAL, "LUN %d of controller %u has a disk already (%s); choose another",
		(int)d->lun, d->controller, other->device.origin ? other->device.origin : "disk");
	return fail_device(&d->device, "lun", -EINVAL, &why, e);
}

/* The lowest free one. There are as many LUNs as disks, so there is one. */
static void choose_lun(const struct vm_config *c, struct disk_config *d)
{
	int64_t lun = 0;

	while (disk_at(c, d->controller, lun))
		lun++;
	d->lun = lun;
}

static struct nic_config *nic_at(const struct vm_config *c, int64_t number)
{
	for (uint32_t i = 0; i < c->nic_count; i++)
		if (c->nics[i].number == number)
			return &c->nics[i];
	return NULL;
}

static int check_number(const struct vm_config *c, const struct nic_config *n, struct err *e)
{
	const struct nic_config *other = nic_at(c, n->number);
	struct err why;

	if (n->number == VM_AUTO || other == n)
		return 0;
	err_set(&why, -EINVAL, "there is a NIC nic%d already (%s); choose another", (int)n->number,
		other->device.origin ? other->device.origin : "NIC");
	return fail_device(&n->device, "number", -EINVAL, &why, e);
}

/* There are as many numbers as NICs. */
static void choose_number(const struct vm_config *c, struct nic_config *n)
{
	int64_t number = 0;

	while (nic_at(c, number))
		number++;
	n->number = number;
}

/* Against the NICs before it. */
static int check_others(const struct vm_config *c, const struct nic_config *n, struct err *e)
{
	for (const struct nic_config *other = c->nics; other < n; other++) {
		struct err what, why;
		const char *wrong = nic_config_check_two(n, other, &what);

		if (!wrong)
			continue;
		err_set(&why, -EINVAL, "%s (%s)", what.text,
			other->device.origin ? other->device.origin : "NIC");
		return fail_device(&n->device, wrong, -EINVAL, &why, e);
	}
	return 0;
}

static int complete_nics(struct vm_config *c, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < c->nic_count; i++) {
		ret = check_number(c, &c->nics[i], e);
		if (!ret)
			ret = check_others(c, &c->nics[i], e);
	}
	for (uint32_t i = 0; !ret && i < c->nic_count; i++)
		if (c->nics[i].number == VM_AUTO)
			choose_number(c, &c->nics[i]);
	return ret;
}

static const char *origin_of(const struct vm_config *c, const char *name)
{
	const char *origin = c->origins[schema_find(vm_keys, name) - vm_keys];

	return origin ? origin : name;
}

/* What the kernel has pinned stays where it is when the guest has it no more. */
static int check_memory(const struct vm_config *c, struct err *e)
{
	if (!c->memory.dynamic || !c->pin_memory)
		return 0;
	return err_set(e, -EINVAL,
		"%s: dynamic memory gives pages back to the host, %s keeps all of them: use one of the two",
		origin_of(c, "memory"), origin_of(c, "pin_memory"));
}

int vm_config_complete(struct vm_config *c, struct err *e)
{
	int ret = check_required(c, e);

	if (!ret)
		ret = check_memory(c, e);
	for (uint32_t i = 0; !ret && i < c->disk_count; i++)
		ret = check_lun(c, &c->disks[i], e);
	for (uint32_t i = 0; !ret && i < c->disk_count; i++)
		if (c->disks[i].lun == VM_AUTO)
			choose_lun(c, &c->disks[i]);
	return ret ? ret : complete_nics(c, e);
}

/* ---- files --------------------------------------------------------------- */

static int check_image(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st))
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: not a regular file", path);
	if (st.st_size == 0)
		return err_set(e, -EINVAL, "%s: the file is empty", path);
	if (access(path, R_OK))
		return err_set(e, -errno, "%s: cannot be read: %s", path, strerror(errno));
	return 0;
}

static int check_images(const struct vm_config *c, struct err *e)
{
	static const char *const names[] = {"kernel", "initrd"};
	const char *const paths[] = {c->kernel, c->initrd};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct err why;
		int ret = paths[i] ? check_image(paths[i], &why) : 0;

		if (ret)
			return config_fail(e, ret, origin_of(c, names[i]), &why);
	}
	return 0;
}

static int check_source(const struct disk_config *d, struct err *e)
{
	const struct disk_source_ops *source = disk_source_ops(&d->device.source);
	struct err why;
	int ret = 0;

	if (source->check)
		ret = source->check(d->device.source.object, d->read_only, &why);
	return ret ? fail_device(&d->device, source->schema.name, ret, &why, e) : 0;
}

static int check_nic(const struct nic_config *n, struct err *e)
{
	struct err why;
	const char *wrong = nic_config_check_host(n, &why);

	return wrong ? fail_device(&n->device, wrong, -EINVAL, &why, e) : 0;
}

int vm_config_check(const struct vm_config *c, struct err *e)
{
	int ret = check_images(c, e);

	for (uint32_t i = 0; !ret && i < c->disk_count; i++)
		ret = check_source(&c->disks[i], e);
	for (uint32_t i = 0; !ret && i < c->nic_count; i++)
		ret = check_nic(&c->nics[i], e);
	return ret;
}
