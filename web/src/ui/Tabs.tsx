import { Link } from "@tanstack/react-router";
import "./Tabs.css";

interface TabsProps {
	names: Record<string, string>;
	tab: string;
	label: string;
	/** What else of the address all parts have in common. */
	kept?: Record<string, unknown>;
}

/**
 * Links to the parts of a screen. Which one is shown stands in the address; the first one needs no word there. Its link is to the
 * address as it is, by which the router knows it as the current one.
 */
export function Tabs({ names, tab, label, kept = {} }: TabsProps) {
	const [first] = Object.keys(names);
	return (
		<nav className="tabs" aria-label={label}>
			{Object.entries(names).map(([key, name]) => (
				<Link
					key={key}
					to="."
					search={(key === tab ? true : key === first ? kept : { ...kept, tab: key }) as never}
					activeOptions={{ exact: true, includeSearch: true }}
				>
					{name}
				</Link>
			))}
		</nav>
	);
}
