import { Fragment, useMemo } from "react";
import type { LayersQuery } from "../../gql/graphql";
import type { Column } from "../../ui/columns";
import { compact, percent, shape } from "../../ui/format";
import { LayerLink } from "../../ui/links";
import { Rows } from "../../ui/Rows";
import { totalOperations } from "./cost";
import type { NamedVersion } from "./Version";

export type Layer = NonNullable<LayersQuery["version"]>["layers"]["nodes"][number];

/** The layers of a version in execution order, with what they cost. */
export function LayerTable({ layers, total, ...named }: NamedVersion & { layers: readonly Layer[]; total: number }) {
	const { model, version } = named;
	const operations = totalOperations(layers);
	const columns = useMemo(() => columnsOf(model, version.number, operations), [model, version.number, operations]);
	return <Rows label="Layers" columns={columns} rows={layers} rowKey={(layer) => layer.id} total={total} />;
}

function columnsOf(model: string, number: number, operations: number): readonly Column<Layer>[] {
	return [
		{
			name: "Layer",
			cell: ({ name, degenerate }) => (
				<>
					<LayerLink model={model} number={number} layer={name} />
					{degenerate.map(({ message }) => (
						<Fragment key={message}>
							{" "}
							<span className="quiet" title={message}>
								no vector
							</span>
						</Fragment>
					))}
				</>
			),
		},
		{ name: "Kind", width: "11rem", cell: ({ kind }) => kind },
		{ name: "Output", rank: 2, width: "11rem", cell: ({ outputShape }) => shape(outputShape) },
		{
			name: "Parameters",
			isNumber: true,
			rank: 2,
			width: "8rem",
			cell: ({ parameterCount }) => compact(parameterCount),
		},
		{
			name: "Operations",
			isNumber: true,
			rank: 3,
			width: "8rem",
			cell: ({ multiplyAccumulates }) => compact(multiplyAccumulates),
		},
		{
			name: "Share of them",
			hint: "Share of the operations of the whole network",
			rank: 3,
			width: "14rem",
			cell: ({ multiplyAccumulates }) =>
				multiplyAccumulates > 0 && (
					<span className="cost">
						<span style={{ width: `${(8 * multiplyAccumulates) / operations}rem` }} aria-hidden="true" />
						{percent(multiplyAccumulates / operations)}
					</span>
				),
		},
	];
}
