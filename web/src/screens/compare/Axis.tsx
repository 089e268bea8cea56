import { shortened, ticks } from "./ticks";

interface AxisProps {
	/** What the layers belong to. */
	title: string;
	names: readonly string[];
	/** The length of the axis on the screen. */
	pixels: number;
}

/** The names of rows or columns beside a map. Screen readers get them with the cells. */
export function Axis({ title, names, pixels, direction }: AxisProps & { direction: "row" | "column" }) {
	const edge = direction === "row" ? "top" : "left";
	return (
		<>
			<div className={`axis-title ${direction}`}>
				<bdi>{title}</bdi>
			</div>
			<div className={`axis ${direction}`} aria-hidden="true">
				{ticks(names.length, pixels).map((index) => (
					<span key={index} style={{ [edge]: `${(100 * (index + 0.5)) / names.length}%` }}>
						<bdi>{shortened(names[index] ?? "")}</bdi>
					</span>
				))}
			</div>
		</>
	);
}
