/**
 * The state of each screen that stands in its address. What an address does not have, or has wrongly, is left out, so that old links
 * still open.
 */
type Raw = Record<string, unknown>;

const VERSION_STATES = ["QUEUED", "RUNNING", "READY", "FAILED"] as const;

type VersionStatus = (typeof VERSION_STATES)[number];

/** Beside the newest first. */
const LIBRARY_ORDERS = ["oldest", "name", "changed", "accuracy", "size"] as const;

export interface LibrarySearch {
	name?: string;
	tag?: string;
	dataset?: string;
	owner?: string;
	minAccuracy?: number;
	status?: VersionStatus;
	order?: (typeof LIBRARY_ORDERS)[number];
	deleted?: true;
}

const VERSION_TABS = ["network", "evaluation", "relatives", "files"] as const;

export interface VersionSearch {
	tab?: (typeof VERSION_TABS)[number];
	/** How the network is shown, and the index of the selected layer. */
	view?: "graph" | "table";
	at?: number;
	/** The true and the predicted class of the selected cell. */
	actual?: number;
	predicted?: number;
}

const MEASURES = ["DEBIASED_CKA", "CKA"] as const;

export type Measure = (typeof MEASURES)[number];

const ATTRIBUTION_METHODS = ["GRAD_CAM", "INTEGRATED_GRADIENTS", "SMOOTH_GRAD", "INPUT_GRADIENT"] as const;

const LAYER_TABS = ["similar", "channels", "maps"] as const;

export interface LayerSearch {
	tab?: (typeof LAYER_TABS)[number];
	/** The index of the test image that maps and the attribution are of. */
	image?: number;
	/** How the pixels that matter are found, and the index of the class that they matter for. */
	method?: (typeof ATTRIBUTION_METHODS)[number];
	class?: number;
	measure?: Measure;
	minAccuracy?: number;
	kind?: string;
	dataset?: string;
	ownModel?: true;
}

const COMPARE_TABS = ["map", "structure", "evaluations"] as const;

export interface CompareSearch {
	tab?: (typeof COMPARE_TABS)[number];
	a?: string;
	b?: string;
	measure?: Measure;
	/** The selected cell of the map: indices of its row and column. */
	row?: number;
	column?: number;
}

export interface AskSearch {
	/** Global id of the probe set that the activations were computed on. */
	probeSet?: string;
	measure?: Measure;
}

export interface TrySearch {
	/** Two versions, such as `plain:1`. */
	a?: string;
	b?: string;
}

export interface DatasetSearch {
	split?: "TRAIN";
	/** The index of the class whose images are shown. */
	class?: number;
}

export const JOB_STATES = ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"] as const;

const JOB_ORDERS = ["oldest", "started", "finished"] as const;

export interface JobsSearch {
	status?: (typeof JOB_STATES)[number];
	order?: (typeof JOB_ORDERS)[number];
}

export function library(raw: Raw): LibrarySearch {
	return present({
		name: text(raw.name),
		tag: text(raw.tag),
		dataset: text(raw.dataset),
		owner: text(raw.owner),
		minAccuracy: share(raw.minAccuracy),
		status: choice(raw.status, VERSION_STATES),
		order: choice(raw.order, LIBRARY_ORDERS),
		deleted: flag(raw.deleted),
	});
}

export function version(raw: Raw): VersionSearch {
	return present({
		tab: choice(raw.tab, VERSION_TABS),
		view: choice(raw.view, ["graph", "table"] as const),
		at: index(raw.at),
		actual: index(raw.actual),
		predicted: index(raw.predicted),
	});
}

export function layer(raw: Raw): LayerSearch {
	return present({
		tab: choice(raw.tab, LAYER_TABS),
		image: index(raw.image),
		method: choice(raw.method, ATTRIBUTION_METHODS),
		class: index(raw.class),
		measure: choice(raw.measure, MEASURES),
		minAccuracy: share(raw.minAccuracy),
		kind: text(raw.kind),
		dataset: text(raw.dataset),
		ownModel: flag(raw.ownModel),
	});
}

export function compare(raw: Raw): CompareSearch {
	return present({
		tab: choice(raw.tab, COMPARE_TABS),
		a: text(raw.a),
		b: text(raw.b),
		measure: choice(raw.measure, MEASURES),
		row: index(raw.row),
		column: index(raw.column),
	});
}

export function ask(raw: Raw): AskSearch {
	return present({ probeSet: text(raw.probeSet), measure: choice(raw.measure, MEASURES) });
}

export function tryOut(raw: Raw): TrySearch {
	return present({ a: text(raw.a), b: text(raw.b) });
}

export function dataset(raw: Raw): DatasetSearch {
	return present({ split: choice(raw.split, ["TRAIN"] as const), class: index(raw.class) });
}

export function jobs(raw: Raw): JobsSearch {
	return present({ status: choice(raw.status, JOB_STATES), order: choice(raw.order, JOB_ORDERS) });
}

function text(value: unknown): string | undefined {
	// The router reads 7 as a number, and a name may be one.
	return typeof value === "string" || typeof value === "number" ? String(value) || undefined : undefined;
}

function choice<Known extends string>(value: unknown, known: readonly Known[]): Known | undefined {
	return known.find((name) => name === value);
}

function index(value: unknown): number | undefined {
	return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

function share(value: unknown): number | undefined {
	return typeof value === "number" && value >= 0 && value <= 1 ? value : undefined;
}

function flag(value: unknown): true | undefined {
	return value === true ? true : undefined;
}

type Present<State> = { [Name in keyof State]?: Exclude<State[Name], undefined> };

/** Without the members that have no value. */
function present<State extends object>(state: State): Present<State> {
	return Object.fromEntries(Object.entries(state).filter(([, value]) => value !== undefined)) as Present<State>;
}
