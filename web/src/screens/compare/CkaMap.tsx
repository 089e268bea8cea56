import { getRouteApi } from "@tanstack/react-router";
import { useMemo } from "react";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { CkaMatrixQuery } from "../../gql/graphql";
import type { Measure } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { Folded } from "../../ui/Folded";
import { score } from "../../ui/format";
import { LayerLink } from "../../ui/links";
import type { FoundVersion } from "../../ui/NamedVersion";
import { Table } from "../../ui/Table";
import { Matrix, type Place } from "./Matrix";
import { type Pair, shortName } from "./pair";

const MATRIX = graphql(`
	query CkaMatrix($a: ID!, $b: ID!, $measure: Measure!) {
		ckaMatrix(a: $a, b: $b, measure: $measure) {
			bestMatchAverage
			scores
			rows {
				id
				name
				kind
				outputShape
			}
			columns {
				id
				name
				kind
				outputShape
			}
			alignment {
				score
				pairs {
					layer {
						id
					}
					otherLayer {
						id
					}
					score
				}
			}
		}
	}
`);

const route = getRouteApi("/compare");

type CkaMatrix = CkaMatrixQuery["ckaMatrix"];

/** The similarity of all pairs of layers, with the best alignment drawn as a line. A click opens a pair. */
export function CkaMap({ a, b, measure }: Pair & { measure: Measure }) {
	const found = useDocument(MATRIX, { a: a.id, b: b.id, measure });
	return (
		<Answer query={found} rows={12}>
			{({ ckaMatrix }) =>
				ckaMatrix.rows.length === 0 || ckaMatrix.columns.length === 0 ? (
					<Empty>One of the versions has no layer that can be compared.</Empty>
				) : (
					<Drawing a={a} b={b} matrix={ckaMatrix} />
				)
			}
		</Answer>
	);
}

function Drawing({ a, b, matrix }: Pair & { matrix: CkaMatrix }) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const { rows, columns, scores, alignment, bestMatchAverage } = matrix;
	const path = useMemo(() => alignmentPath(matrix), [matrix]);
	const [row, column] = [rows[search.row ?? -1], columns[search.column ?? -1]];
	const selected = row && column ? { row: search.row ?? 0, column: search.column ?? 0 } : null;
	const select = ({ row, column }: Place) =>
		void navigate({ search: (before) => ({ ...before, row, column }), replace: true, resetScroll: false });
	return (
		<>
			<Facts>
				{{
					"Best matches, mean score": score(bestMatchAverage),
					"Alignment score": score(alignment.score),
				}}
			</Facts>
			<p className="quiet">
				Each cell compares two layers: 1 if they compute the same, up to rotation and scale, and 0 if they have nothing
				in common. Best matches are each layer's highest score. The line pairs layers in the order of both networks so
				that the sum of their scores is highest; if it pairs all, and all equal, the alignment score is 1.
			</p>
			<div className="comparison">
				<Matrix
					rows={{ title: shortName(a), layers: rows }}
					columns={{ title: shortName(b), layers: columns }}
					scores={scores}
					path={path}
					selected={selected}
					onSelect={select}
				/>
				{selected && row && column && (
					<aside className="pair" aria-live="polite">
						<h2>Pair</h2>
						<p>
							<Named end={a} layer={row} />
						</p>
						<p>
							<Named end={b} layer={column} />
						</p>
						<p>
							Score <strong>{score(scores[selected.row]?.[selected.column] ?? 0)}</strong>
						</p>
					</aside>
				)}
			</div>
			<Folded summary="The best match of each layer, as a table">
				{() => <BestMatches a={a} b={b} matrix={matrix} />}
			</Folded>
		</>
	);
}

/** The cells of the pairs that are aligned. */
function alignmentPath({ rows, columns, alignment }: CkaMatrix): Place[] {
	const rowOf = new Map(rows.map((layer, index) => [layer.id, index]));
	const columnOf = new Map(columns.map((layer, index) => [layer.id, index]));
	return alignment.pairs.map(({ layer, otherLayer }) => ({
		row: rowOf.get(layer.id) ?? 0,
		column: columnOf.get(otherLayer.id) ?? 0,
	}));
}

function BestMatches({ a, b, matrix: { rows, columns, scores } }: Pair & { matrix: CkaMatrix }) {
	const matches = useMemo(
		() => rows.map((layer, row) => bestMatch(layer, columns, scores[row] ?? [])),
		[rows, columns, scores],
	);
	return (
		<Table label="Best matches" columns={matchColumns(a, b)} rows={matches} rowKey={({ layer }) => layer.id} isNarrow />
	);
}

interface NamedLayer {
	id: string;
	name: string;
	kind: string;
}

interface Match {
	layer: NamedLayer;
	other: NamedLayer | undefined;
	score: number;
}

/** The layer of the columns with the highest score. */
function bestMatch(layer: NamedLayer, columns: readonly NamedLayer[], scores: readonly number[]): Match {
	const best = scores.reduce((best, value, column) => (value > (scores[best] ?? 0) ? column : best), 0);
	return { layer, other: columns[best], score: scores[best] ?? 0 };
}

function matchColumns(a: FoundVersion, b: FoundVersion): readonly Column<Match>[] {
	return [
		{ name: "Row", cell: ({ layer }) => <Named end={a} layer={layer} /> },
		{ name: "Best column", cell: ({ other }) => other && <Named end={b} layer={other} /> },
		{ name: "Score", isNumber: true, cell: (match) => score(match.score) },
	];
}

function Named({ end, layer }: { end: FoundVersion; layer: NamedLayer }) {
	return (
		<>
			<bdi>{end.model}</bdi>:{end.number}{" "}
			<LayerLink {...end} layer={layer.name}>
				layer <bdi>{layer.name}</bdi>
			</LayerLink>{" "}
			<span className="quiet">{layer.kind}</span>
		</>
	);
}
