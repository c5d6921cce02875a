/* SPDX-License-Identifier: MIT */
#include "vm/devices.h"

#include <errno.h>
#include <stdlib.h>

/* ---- the table ----------------------------------------------------------- */

/* X(name, number, config): offers NAME_ops under the instance id of this number. All devices of the
 * product have back ends today, so the table is empty. */
#define DEVICES(X)

#define INSTANCE(number)                                                                           \
	HV_GUID(0xe417e003, 0x5c51, 0x4e17, 0x9a, 0x03, 0x65, 0x6e, 0x6c, 0x69, 0x74,              \
		0x65 + (number))
#define DECLARE(name, number, data) extern const struct vsp_ops name##_ops;
#define ROW(name, number, data)                                                                    \
	{.ops = &name##_ops, .id = #name #number, .instance = INSTANCE(number), .config = data},

/* clang-format off */
DEVICES(DECLARE)
const struct device_row device_rows[] = {DEVICES(ROW) {0}};
/* clang-format on */

/* ---- guests -------------------------------------------------------------- */

static uint32_t row_count(const struct device_row *rows)
{
	uint32_t count = 0;

	while (rows[count].ops)
		count++;
	return count;
}

int devices_attach(
	struct devices *d, const struct device_row *rows, struct vsp_host *host, struct err *e)
{
	uint32_t count = row_count(rows);
	int ret = 0;

	d->rows = rows;
	device_group_init(&d->group);
	d->devices = calloc(count + 1, sizeof(*d->devices));
	if (!d->devices)
		return err_set(e, -ENOMEM, "devices: out of memory");
	for (uint32_t i = 0; !ret && i < count; i++)
		ret = vm_device_create(&d->devices[i], &d->group, host, rows[i].ops,
			&rows[i].instance, rows[i].config, e);
	return ret;
}

void devices_detach(struct devices *d)
{
	if (d->devices)
		device_group_destroy_all(&d->group);
	free(d->devices);
	d->devices = NULL;
}

void devices_name_busy(const struct devices *d, struct err *e)
{
	for (const struct device_row *row = d->rows; row->ops; row++)
		if (d->devices[row - d->rows].pausing)
			err_set(e, -ETIMEDOUT,
				"pause: %s did not complete its requests within 10 s; the VM runs on",
				row->id);
}

/* ---- inspect ------------------------------------------------------------- */

void devices_inspect(const struct devices *d, struct inspect *i)
{
	for (uint32_t n = 0; d->devices && d->rows[n].ops; n++) {
		if (!d->devices[n].vsp)
			continue;
		inspect_begin(i, NULL);
		inspect_text(i, "id", d->rows[n].id);
		vsp_device_inspect(d->devices[n].vsp, i);
		inspect_end(i);
	}
}
