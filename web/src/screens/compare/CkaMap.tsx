import { getRouteApi } from "@tanstack/react-router";
import { useDocument } from "../../api/queries";
import { graphql } from "../../gql";
import type { Measure } from "../../search";
import { Answer, Empty } from "../../ui/Answer";
import type { Column } from "../../ui/columns";
import { Facts } from "../../ui/Facts";
import { Fold } from "../../ui/Fold";
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

/** The similarity of all pairs of layers, with the best alignment drawn as a line. A click opens a pair. */
export function CkaMap({ a, b, measure }: Pair & { measure: Measure }) {
	const search = route.useSearch();
	const navigate = route.useNavigate();
	const matrix = useDocument(MATRIX, { a: a.id, b: b.id, measure });
	const selected =
		search.row !== undefined && search.column !== undefined ? { row: search.row, column: search.column } : null;
	const select = ({ row, column }: Place) =>
		void navigate({ search: (before) => ({ ...before, row, column }), replace: true, resetScroll: false });
	return (
		<Answer query={matrix} rows={12}>
			{({ ckaMatrix: { rows, columns, scores, alignment, bestMatchAverage } }) => {
				const rowOf = new Map(rows.map((layer, index) => [layer.id, index]));
				const columnOf = new Map(columns.map((layer, index) => [layer.id, index]));
				const path = alignment.pairs.map(({ layer, otherLayer }) => ({
					row: rowOf.get(layer.id) ?? 0,
					column: columnOf.get(otherLayer.id) ?? 0,
				}));
				if (rows.length === 0 || columns.length === 0) {
					return <Empty>One of the versions has no layer that can be compared.</Empty>;
				}
				const [row, column] = selected ? [rows[selected.row], columns[selected.column]] : [];
				return (
					<>
						<Facts>
							{{
								"Best matches, mean score": score(bestMatchAverage),
								"Alignment score": score(alignment.score),
							}}
						</Facts>
						<div className="comparison">
							<Matrix
								rows={{ title: shortName(a), names: rows.map((layer) => layer.name) }}
								columns={{ title: shortName(b), names: columns.map((layer) => layer.name) }}
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
						<Fold summary="The best match of each layer, as a table">
							{() => (
								<Table
									label="Best matches"
									columns={matchColumns(a, b)}
									rows={rows.map((layer, row) => bestMatch(layer, columns, scores[row] ?? []))}
									rowKey={({ layer }) => layer.id}
									isNarrow
								/>
							)}
						</Fold>
					</>
				);
			}}
		</Answer>
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
