import { memo } from "react";
import { shortened, ticks } from "./ticks";

export interface AxisLayer {
	name: string;
	kind: string;
}

interface AxisProps {
	/** What the layers belong to. */
	title: string;
	layers: readonly AxisLayer[];
	/** The length of the axis on the screen. */
	pixels: number;
	direction: "row" | "column";
}

/** The names of rows or columns beside a map, which stay while one points at cells. Screen readers get them with the cells. */
export const Axis = memo(function Axis({ title, layers, pixels, direction }: AxisProps) {
	const edge = direction === "row" ? "top" : "left";
	return (
		<>
			<div className={`axis-title ${direction}`}>
				<bdi>{title}</bdi>
			</div>
			<div className={`axis ${direction}`} aria-hidden="true">
				{ticks(layers.length, pixels).map((index) => (
					<span key={index} style={{ [edge]: `${(100 * (index + 0.5)) / layers.length}%` }}>
						<span className="axis-kind">{layers[index]?.kind} </span>
						<bdi>{shortened(layers[index]?.name ?? "")}</bdi>
					</span>
				))}
			</div>
		</>
	);
});
