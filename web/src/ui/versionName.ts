/** A version as people write it: `plain:1`, or `plain` for the latest version. */
export interface VersionName {
	model: string;
	number: number | null;
}

/** Reads a name such as `plain:1`. Null if it is none. Names of models have no colon. */
export function parseVersionName(text: string): VersionName | null {
	const [, model, number] = /^([^:]+?)(?::([1-9]\d{0,8}))?$/.exec(text.trim()) ?? [];
	return model ? { model, number: number ? Number(number) : null } : null;
}
