const counts = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en");
const moments = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

/** What stands where there is no value. */
export const NONE = "–";

/** A large number in few digits, such as 1.2M. */
export function compact(value: number): string {
	return counts.format(value);
}

/** A whole number with all its digits. */
export function integer(value: number): string {
	return whole.format(value);
}

/** A number of images in words. */
export function images(count: number): string {
	return count === 1 ? "1 image" : `${integer(count)} images`;
}

/** A size in bytes, in the units in which the server's limits are set. */
export function bytes(size: number): string {
	const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, size)) / 10));
	return `${Number((size / 1_024 ** power).toPrecision(3))} ${UNITS[power]}`;
}

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];

/** A share of 0 to 1 in per cent. */
export function percent(share: number | null | undefined): string {
	return share == null ? NONE : `${(100 * share).toFixed(1)}%`;
}

/** A similarity score. */
export function score(value: number): string {
	return value.toFixed(3);
}

/** A difference, always with its sign. */
export function signed(value: number, digits: number): string {
	const text = Math.abs(value).toFixed(digits);
	if (Number(text) === 0) return `±${text}`;
	return `${value > 0 ? "+" : "−"}${text}`;
}

/** The shape of an activation or image. */
export function shape(sizes: readonly number[]): string {
	return sizes.join(" × ");
}

/** A moment, in the reader's time zone. */
export function moment(time: string): string {
	return moments.format(new Date(time));
}

/** A name for the statuses, kinds and formats of the API: FIND_EXEMPLARS becomes "find exemplars". */
export function words(name: string): string {
	return name.toLowerCase().replaceAll("_", " ");
}
