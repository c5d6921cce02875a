/* SPDX-License-Identifier: MIT */
#include "base/inspect.h"
#include "disk/disk.h"

static void info_inspect(const struct disk *disk, struct inspect *i)
{
	const struct disk_info *info = &disk->info;

	inspect_u64(i, "size", disk_size(disk));
	inspect_u64(i, "block_size", info->block_size);
	inspect_u64(i, "physical_block_size", info->physical_block_size);
	inspect_bool(i, "read_only", info->read_only);
	inspect_bool(i, "write_cache", info->write_cache);
	inspect_bool(i, "discard", info->discard);
	inspect_u64(i, "copied_bytes", disk_copied_bytes(disk));
}

void disk_inspect(const struct disk *disk, struct inspect *i)
{
	info_inspect(disk, i);
	inspect_begin_array(i, "layers");
	for (const struct disk *layer = disk; layer; layer = layer->lower) {
		inspect_begin(i, NULL);
		inspect_text(i, "type", layer->ops->name);
		if (layer->ops->inspect)
			layer->ops->inspect(layer, i);
		inspect_end(i);
	}
	inspect_end(i);
}
