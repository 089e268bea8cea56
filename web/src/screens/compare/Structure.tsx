import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { LayerChange, StructureQuery } from "../../gql/graphql";
import type { Measure } from "../../search";
import { Answer } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { NONE, score, shape } from "../../ui/format";
import { LayerLink } from "../../ui/links";
import type { FoundVersion } from "../../ui/NamedVersion";
import { Rows } from "../../ui/Rows";
import { type Pair, shortName } from "./pair";

const STRUCTURE = graphql(`
	query Structure($a: ID!, $b: ID!) {
		version(id: $a) {
			id
			diff(with: $b) {
				sameCount
				changedCount
				addedCount
				removedCount
				notComparableReason
				entries {
					change
					cka
					debiasedCka
					differences {
						name
						value
						otherValue
					}
					layer {
						id
						name
						kind
						outputShape
					}
					otherLayer {
						id
						name
						kind
						outputShape
					}
				}
			}
		}
	}
`);

/** The versions need not descend from each other, so nothing is added or removed. */
const CHANGE_NAMES: Record<LayerChange, string> = {
	SAME: "same",
	CHANGED: "changed",
	ADDED: "only second",
	REMOVED: "only first",
};

type Entry = NonNullable<StructureQuery["version"]>["diff"]["entries"][number];

/** The layers of two versions, in two columns that are aligned. */
export function Structure({ a, b, measure }: Pair & { measure: Measure }) {
	const structure = useDocument(STRUCTURE, { a: a.id, b: b.id });
	return (
		<Answer query={structure} rows={10}>
			{({ version }) => {
				if (!version) return null;
				const { entries, notComparableReason, ...counts } = version.diff;
				return (
					<>
						<Facts>
							{{
								Same: counts.sameCount,
								Changed: counts.changedCount,
								[`Only in ${shortName(a)}`]: counts.removedCount,
								[`Only in ${shortName(b)}`]: counts.addedCount,
							}}
						</Facts>
						{notComparableReason && <p className="notice">There are no scores: {notComparableReason}</p>}
						<Rows
							label="Layers of both versions"
							columns={columns({ a, b }, measure)}
							rows={entries}
							rowKey={({ layer, otherLayer }) => `${layer?.id} ${otherLayer?.id}`}
						/>
					</>
				);
			}}
		</Answer>
	);
}

function columns({ a, b }: Pair, measure: Measure): readonly Column<Entry>[] {
	return [
		{ name: shortName(a), cell: ({ layer }) => <Side version={a} layer={layer} /> },
		{ name: shortName(b), cell: ({ otherLayer }) => <Side version={b} layer={otherLayer} /> },
		{ name: "Change", width: "6.8rem", cell: ({ change }) => CHANGE_NAMES[change] },
		{
			name: "Similarity",
			isNumber: true,
			width: "6.8rem",
			cell: ({ cka, debiasedCka }) => {
				const value = measure === "CKA" ? cka : debiasedCka;
				return value == null ? NONE : score(value);
			},
		},
		{ name: "Differences", rank: 3, cell: ({ differences }) => <Differences differences={differences} /> },
	];
}

function Side({ version, layer }: { version: FoundVersion; layer: Entry["layer"] }) {
	if (!layer) return <span className="quiet">{NONE}</span>;
	return (
		<>
			<LayerLink {...version} layer={layer.name} /> {layer.kind}{" "}
			<span className="quiet">{shape(layer.outputShape)}</span>
		</>
	);
}

function Differences({ differences }: { differences: Entry["differences"] }) {
	const text = differences
		.map(({ name, value, otherValue }) => `${name} ${written(value)} / ${written(otherValue)}`)
		.join("; ");
	return <span title={text}>{text}</span>;
}

function written(value: unknown): string {
	if (value == null) return "none";
	return Array.isArray(value) ? shape(value) : String(value);
}
