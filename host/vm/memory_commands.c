/* SPDX-License-Identifier: MIT */
/* Commands on the guest's memory. */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "vm/commands.h"
#include "vm/vm_impl.h"

json_t *memory_status(const struct vm *vm)
{
	struct dynmem_status s;

	if (!dynmem_get_status(&vm->dynmem, &s))
		return json_null();
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "driver", s.state, "mode",
		dynmem_mode(&vm->dynmem), "target", (json_int_t)s.target, "granted",
		(json_int_t)s.granted, "taken", (json_int_t)s.out, "added", (json_int_t)s.added);
}

int command_memory_target(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const char *size = json_string_value(json_object_get(json, "size"));
	bool automatic = !strcmp(size, "auto");
	uint64_t bytes = 0;
	int ret;

	if (!automatic && (parse_size(size, &bytes) || !bytes))
		return err_set(e, -EINVAL,
			"memory target: SIZE '%.40s': must be a size such as 700M, or auto", size);
	ret = dynmem_set_target(&vm->dynmem, bytes, e);
	if (!ret)
		ctl_answer(request, json_pack("{s:o}", "memory", memory_status(vm)));
	return ret;
}
