import type { Column } from "./columns";
import { percent, score } from "./format";
import { LayerLink, VersionLink } from "./links";
import { markColumn } from "./Mark";
import { CKA, DEBIASED_CKA } from "./measures";

/** A layer that a search has found. */
interface Hit {
	rank: number;
	cka: number;
	debiasedCka: number;
	node: {
		name: string;
		kind: string;
		version: { number: number; accuracy?: number | null; model: { name: string } };
	};
}

/** What every search shows of a hit. */
export const HIT_COLUMNS: readonly Column<Hit>[] = [
	{ name: "Rank", isNumber: true, cell: ({ rank }) => rank },
	{
		name: "Layer",
		cell: ({ node: { name, version } }) => (
			<LayerLink model={version.model.name} number={version.number} layer={name} />
		),
	},
	{
		name: "Model",
		cell: ({ node: { version } }) => <VersionLink model={version.model.name} number={version.number} />,
	},
	{ name: "Kind", cell: ({ node }) => node.kind },
	{
		name: "Debiased CKA",
		hint: DEBIASED_CKA,
		isNumber: true,
		cell: ({ debiasedCka }) => <strong>{score(debiasedCka)}</strong>,
	},
	{
		name: "CKA",
		hint: CKA,
		isNumber: true,
		cell: ({ cka }) => score(cka),
	},
	{ name: "Accuracy", isNumber: true, cell: ({ node }) => percent(node.version.accuracy) },
];

/** Marks the version that a hit belongs to. */
export const HIT_MARK: Column<Hit> = markColumn(({ node: { version } }) => ({
	model: version.model.name,
	number: version.number,
}));
