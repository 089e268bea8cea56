import { bytes } from "./format";

/** Why a file is too large to be sent; null if it is not, or if the limit is unknown. */
export function oversize(file: { name: string; size: number }, limit: number | undefined): string | null {
	if (limit === undefined || file.size <= limit) return null;
	return `${file.name} is too large: it has ${bytes(file.size)}, and this server takes at most ${bytes(limit)}. Nothing was sent.`;
}
