import type { Column } from "../../ui/columns";
import { integer, percent } from "../../ui/format";
import { Table } from "../../ui/Table";

interface Bin {
	lower: number;
	upper: number;
	accuracy?: number | null;
	confidence?: number | null;
	imageCount: number;
}

const COLUMNS: readonly Column<Bin>[] = [
	{ name: "Confidence from, to", cell: ({ lower, upper }) => `${percent(lower)}, ${percent(upper)}` },
	{ name: "Images", isNumber: true, cell: ({ imageCount }) => integer(imageCount) },
	{ name: "Mean confidence", isNumber: true, cell: ({ confidence }) => percent(confidence) },
	{ name: "Accuracy", isNumber: true, cell: ({ accuracy }) => percent(accuracy) },
	{
		name: "Accuracy as a bar",
		isNameHidden: true,
		cell: ({ accuracy }) => <meter value={accuracy ?? 0} aria-label="Accuracy" />,
	},
];

/** How well confidence agrees with accuracy. */
export function Calibration({ bins }: { bins: readonly Bin[] }) {
	const filled = bins.filter((bin) => bin.imageCount > 0);
	return (
		<section aria-labelledby="calibration">
			<h2 id="calibration">Confidence and accuracy</h2>
			<Table label="Confidence and accuracy" columns={COLUMNS} rows={filled} rowKey={({ lower }) => lower} isNarrow />
		</section>
	);
}
